"""A data-versioned registry of DeepFashion2 with a queryable store.

Public are:
    :func:`open`: open a registry for queries, selections and diffs.
    :func:`export`: write a subset in a training format, such as COCO or YOLO.
    :func:`check`: count what is odd in the data.
    :func:`evaluate`: score the predictions of a model.
    :func:`compare_with_release`: a registry beside the published numbers of the official release.
    :func:`show`, :func:`show_rows`: draw images, items and rows.
    :func:`similar`, :func:`similar_to_photo`: the items that look most like an item or a photo.
    :func:`browse`: show a registry in a browser or a notebook.
    :func:`views_sql`: the tables and views as SQL for other engines.
    :data:`__version__`: the version of this distribution.

The errors that they raise are in :mod:`registry.errors`.

>>> import registry
>>> df2 = registry.open("data/registry")                    # doctest: +SKIP
>>> df2.pairs(split="train", pair_id=1811).df()             # doctest: +SKIP
>>> df2.select(category="skirt", occlusion=1).summary()     # doctest: +SKIP
>>> registry.show(df2, "train", 1)                          # doctest: +SKIP
>>> registry.export(df2, "coco", "skirts", subset={"category": "skirt"})  # doctest: +SKIP
"""

from __future__ import annotations

import functools
import inspect
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from registry.version import __version__

if TYPE_CHECKING:
    from concurrent.futures import Executor
    from pathlib import Path

    from PIL.Image import Image as PictureImage

    from registry.checks.official import ReleaseComparison
    from registry.checks.run import CheckRun
    from registry.embeddings.embedders import Embedder
    from registry.embeddings.similar import SimilarItems
    from registry.evaluation.results import Evaluation
    from registry.exports.manifest import ExportManifest
    from registry.pictures.album import Album
    from registry.store.ddl import Ddl
    from registry.store.registry import Registry
    from registry.store.selection import Selection
    from registry.subset.options import Subset
    from registry.subset.resplit import Resplit
    from registry.web.notebook import Browsing

__all__ = [
    "__version__", "browse", "check", "compare_with_release", "evaluate", "export", "open", "show", "show_rows",
    "similar", "similar_to_photo", "views_sql",
]  # fmt: skip


def open(
    url: str = "data/registry",
    storage_options: Mapping[str, Any] | None = None,
    *,
    rev: str | None = None,
    repo: str | None = None,
    cache: str | None = None,
    memory: str | None = None,
    timeout: float | None = None,
    tables: Mapping[str, Any] | None = None,
    photos: str | Mapping[str, str] | None = None,
    password: str | None = None,
) -> Registry:
    """Return a registry, opened for reading.

    Args:
        url: folder or fsspec URL of the registry; with ``rev``, its path in the repository.
        storage_options: passed to fsspec for a remote registry.
        rev: git revision to open, through DVC; the work tree is not changed.
        repo: path or URL of the repository of ``rev``; by default the repository of the working directory.
        cache: folder that keeps the blocks read from a remote registry, for other sessions and processes.
        memory: memory limit of DuckDB, such as ``"4GB"``; by default half of the machine's memory.
        timeout: time limit of a query in seconds; none by default.
        tables: tables of your own by name: path or URL of a file (Parquet, Arrow, CSV, JSON lines), Arrow table, or
            frame of pandas or polars. Queries use them by name, conditions by key: ``where="scores.loss > 2"``.
        photos: release with the photos, or a mapping from split to release: notebooks then show images, items, pairs
            and selections with thumbnails, and :func:`show` draws on them.
        password: of protected zips among the photos.

    Raises:
        registry.errors.NotFoundError: the registry, the revision or the file of a table does not exist.
        registry.errors.UsageError: a table cannot be read, or its name is taken.
        registry.errors.StorageError: the registry cannot be read, or the revision cannot be fetched.
    """
    from registry.errors import UsageError
    from registry.store.registry import Registry

    if rev is not None:
        from registry.history.checkout import checkout

        url = str(checkout(rev, repo, url))
    elif repo is not None:
        raise UsageError("A repository is given and no revision of it: add rev (--rev).")
    opened = Registry(url, storage_options, cache=cache, memory=memory, timeout=timeout, tables=tables)
    if photos is not None:
        from registry.pictures.album import Album
        from registry.pictures.notebook import NotebookRows
        from registry.sources.photos import Photos

        opened.thumbnails = NotebookRows(Album(opened, Photos(photos, password, storage_options)))
    return opened


def show(
    registry: Registry, split: str, image_id: int, item_no: int | None = None, *, crop: bool = False
) -> PictureImage:
    """Return the picture of an image, or of an item in it, as ``df2 show`` draws it; notebooks show it.

    Args:
        registry: an open registry; with ``photos``, the annotation is drawn on them, else on a plain canvas.
        split: of the image.
        image_id: of the image.
        item_no: only this item.
        crop: only the boxes of the items and a margin.

    Raises:
        registry.errors.NotFoundError: there is no such image or item.
    """
    from registry.pictures.album import Subject
    from registry.pictures.gallery import single

    return single(_album(registry), Subject(split, image_id, item_no), crop=crop)


def show_rows(registry: Registry, query: str, params: Any = None, *, crop: bool = False) -> Iterator[PictureImage]:
    """Yield contact sheets of the rows of a SELECT, as ``df2 show --query`` draws them.

    Args:
        registry: an open registry, perhaps with ``photos``.
        query: its columns split, image_id and item_no name the picture, its other columns the caption.
        params: values for ``$name`` or ``?`` in it.
        crop: only the boxes of the items and a margin.

    Raises:
        registry.errors.UsageError: no columns name an image.
        registry.errors.QueryError: DuckDB refuses the query.
    """
    from registry.pictures.gallery import row_pages, with_items

    rows = with_items(registry, registry.sql(query, params).to_arrow_table())
    return row_pages(_album(registry), rows, crop=crop)


def similar(
    registry: Registry,
    split: str,
    image_id: int,
    item_no: int,
    k: int = 20,
    *,
    subset: Subset | Mapping[str, Any] | None = None,
    embeddings: Any = None,
    storage_options: Mapping[str, Any] | None = None,
) -> SimilarItems:
    """Return the items whose vectors have the largest cosine with that of an item, as ``df2 similar`` does.

    ``.rows`` is an Arrow table with a row for each, the most similar first; equally similar ones stand in the order of
    their keys. All vectors are compared. They stay in memory for the next call on the same registry.

    Args:
        registry: an open registry.
        split: of the item.
        image_id: of the item.
        item_no: of the item, which need not be in the subset.
        k: number of items.
        subset: a :class:`registry.subset.options.Subset` or its options: the items to choose from.
        embeddings: name of a model whose vectors are beside the registry, by default the only one; or path or URL of a
            file, Arrow table, or frame of pandas or polars with split, image_id, item_no and vector.
        storage_options: passed to fsspec for a URL of embeddings.

    Raises:
        registry.errors.NotFoundError: there is no such item, it has no vector, or no item of the subset has one.
        registry.errors.UnknownNameError: there is no such split or model.
        registry.errors.UsageError: ``k`` is below 1, or the embeddings cannot be used.
    """
    from registry.embeddings.similar import similar_items

    return similar_items(
        registry, split, image_id, item_no, k,
        subset=_subset(subset), embeddings=embeddings, storage_options=storage_options,
    )  # fmt: skip


def similar_to_photo(
    registry: Registry,
    photo: str | Path,
    k: int = 20,
    *,
    box: Sequence[float] | None = None,
    subset: Subset | Mapping[str, Any] | None = None,
    embeddings: Any = None,
    embedder: str | Embedder | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> SimilarItems:
    """Return the items that are most similar to a garment in a photo of your own, as ``df2 similar --photo`` does.

    The embedder of the model makes the vector of the photo; the answer is that of :func:`similar`.

    Args:
        registry: an open registry.
        photo: path or fsspec URL of a JPEG, PNG or WebP. It is turned by its EXIF orientation, as viewers show it.
        k: number of items.
        box: x1, y1, x2, y2 of the garment, px; the whole photo without it.
        subset: a :class:`registry.subset.options.Subset` or its options: the items to choose from.
        embeddings: see :func:`similar`.
        embedder: that made these vectors, or its name; by default that of the model's name.
        storage_options: passed to fsspec for URLs.

    Raises:
        registry.errors.NotFoundError: there is no such photo, or no item of the subset has a vector.
        registry.errors.UnknownNameError: there is no such model or embedder.
        registry.errors.UsageError: the file is no photo, the box is none of the photo, ``k`` is below 1, or the
            embedder is not that of the model.
    """
    from registry.embeddings.photo_vector import photo_vector
    from registry.embeddings.similar import SimilarItems, similar_to_vector

    asked = photo_vector(
        registry, photo, box, embeddings=embeddings, embedder=embedder, storage_options=storage_options
    )
    answer = similar_to_vector(
        registry, asked.vector, k, subset=_subset(subset), embeddings=embeddings, storage_options=storage_options
    )
    return SimilarItems(answer.rows, [*asked.notices, *answer.notices])


def browse(
    registry: Registry,
    *,
    subset: Subset | Mapping[str, Any] | None = None,
    port: int = 0,
    height: int = 800,
    sql: bool = True,
    sql_seconds: float = 10.0,
    embeddings: str | None = None,
) -> Browsing:
    """Serve a registry to browsers of this machine, as ``df2 browse`` does; notebooks show it in a frame.

    The server runs in a thread until ``.stop()``, or until the end of a ``with`` block or of the process; ``.url`` is
    its address.

    Args:
        registry: an open registry; with ``photos``, the annotation is drawn on them, else on a plain canvas.
        subset: a :class:`registry.subset.options.Subset` or its options: what the first page shows.
        port: to listen on; any free one by default.
        height: of the frame in pixels.
        sql: whether SQL of the pages is answered; never of a registry at memory://, which no other process can read.
        sql_seconds: after which a query of the pages ends.
        embeddings: path or URL of a file with vectors of items, whose nearest items the pages show; without it, those
            of the models in the registry.

    Raises:
        registry.errors.MissingDependencyError: the extra ``browse`` is not installed.
        registry.errors.UsageError: an option of the subset does not exist.
        registry.errors.StorageError: the port is taken.
    """
    from registry.web.server import check_installed

    check_installed()
    from registry.pictures.notebook import NotebookRows
    from registry.redaction import redact
    from registry.web.notebook import Browsing
    from registry.web.site import Settings, Site
    from registry.web.state import start

    photos = registry.thumbnails.album.photos if isinstance(registry.thumbnails, NotebookRows) else None
    place = redact(registry.place.url)
    query, named = start(_subset(subset), {})
    settings = Settings(
        photos=photos,
        named=named,
        runs_sql=sql and not registry.place.url.startswith("memory://"),
        sql_seconds=sql_seconds,
        embeddings=embeddings,
        command=shlex.join(["df2", "-r", place]),
        python=f"registry.open({place!r})",
    )
    return Browsing(Site(registry, settings), query, port, height)


def _album(registry: Registry) -> Album:
    """Return the album of a registry that was opened with photos; else one without photos."""
    from registry.pictures.album import Album
    from registry.pictures.notebook import NotebookRows

    return registry.thumbnails.album if isinstance(registry.thumbnails, NotebookRows) else Album(registry)


def export(
    registry: Registry,
    format: str,
    dest: str,
    *,
    subset: Subset | Mapping[str, Any] | None = None,
    resplit: Resplit | None = None,
    classes: str | Path | Mapping[str, Any] | None = None,
    images: str | None = None,
    photos: str | Mapping[str, str] | None = None,
    password: str | None = None,
    photo_cache: str | None = None,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    follow_links: bool = False,
    executor: Executor | None = None,
    **options: Any,
) -> ExportManifest:
    """Write a subset in a training format; return its manifest (the content of ``export.json``).

    Args:
        registry: an open registry.
        format: ``coco``, ``yolo``, ...; ``df2 export --help`` lists all.
        dest: new or empty folder, or an fsspec URL; receives the complete export or nothing.
        subset: a :class:`registry.subset.options.Subset` or its options, such as ``{"category": "skirt"}``.
        resplit: new splits for the subset (:meth:`registry.subset.resplit.Resplit.parse`).
        classes: ``"present"`` for the categories that occur; or classes that merge and rename categories, as a mapping
            (``{"tops": ["short sleeve top", "vest"]}``), a text (``"tops=vest,sling; skirts=skirt"``) or a file.
        images: ``none``, ``reference``, ``link`` or ``copy`` the photos; not every format has all four.
        photos: release with the photos, or a mapping from split to release.
        password: of protected zips among the photos.
        photo_cache: folder that keeps photos to link to (``images="link"``); by default photos of archives and remote
            places are kept in ``.df2/photos`` of the registry, and those of folders are linked where they are.
        overwrite: replace an earlier export at ``dest``.
        storage_options: passed to fsspec for ``dest`` and ``photos``.
        follow_links: follow links of photos that lead out of their release.
        executor: processes or other machines that make the text of annotations and cut crops
            (docs/how-to/scaling.md); they read the registry and the photos themselves. Without it, this process does.
        options: of the format, with underscores.

    Raises:
        registry.errors.UsageError: an option does not exist, or the destination is not empty.
        registry.errors.SourceError: a photo is missing.
        registry.errors.StorageError: the destination cannot be written; it is as it was.
    """
    from registry.exports import run
    from registry.history.git import revision_of

    plan = run.Plan.of(format, _subset(subset), resplit=resplit, images=images, options=options, classes=classes)
    return run.export(
        registry,
        plan,
        dest,
        photos=photos,
        password=password,
        storage_options=storage_options,
        follow_links=follow_links,
        photo_cache=photo_cache,
        overwrite=overwrite,
        revision=revision_of(registry.place),
        executor=executor,
    )


def check(
    registry: Registry,
    only: str | Sequence[str] = (),
    severity: str | Sequence[str] = (),
    *,
    subset: Subset | Mapping[str, Any] | None = None,
    params: str | Path | None = None,
    tables: Mapping[str, Any] | None = None,
    executor: Executor | None = None,
) -> CheckRun:
    """Count what is odd in a registry; return the results, whose ``.rows(name)`` are the rows of a check.

    Args:
        registry: an open registry.
        only: names of checks (docs/reference/checks.md); all without any.
        severity: ``error``, ``warning`` or ``note``, or several of them; all without any.
        subset: a :class:`registry.subset.options.Subset` or its options: the rows are those within it.
        params: a parameter file (params.yaml) with limits and folders of your checks below ``checks``; the accepted
            exceptions are ``checks/accepted.jsonl`` beside it. Neither without it.
        tables: tables of your own for the condition of the subset.
        executor: processes or other machines that count the rows of a check each; they read the registry themselves.

    Raises:
        registry.errors.UnknownNameError: there is no such check or severity.
        registry.errors.UsageError: the parameter file or an accepted exception is wrong.
    """
    from registry.checks.run import run_checks
    from registry.checks.settings import CheckSettings, load_check_settings
    from registry.dataset.checks import SEVERITIES
    from registry.dataset.deepfashion2 import unknown_name
    from registry.store.on_workers import for_registry
    from registry.subset.options import Subset

    names = [only] if isinstance(only, str) else list(only)
    severities = [severity] if isinstance(severity, str) else list(severity)
    for name in severities:
        if name not in SEVERITIES:
            raise unknown_name("severity", name, list(SEVERITIES))
    chosen = _subset(subset)
    is_whole = chosen == Subset()
    settings = CheckSettings() if params is None else load_check_settings(params)
    rows = registry if is_whole else registry.select(chosen, tables=tables)
    cluster = for_registry(executor, registry)
    return run_checks(rows, settings, names, severities, is_whole=is_whole, executor=cluster)


def evaluate(
    registry: Registry,
    task: str,
    predictions: Any,
    *,
    subset: Subset | Mapping[str, Any] | None = None,
    storage_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> Evaluation:
    """Score the predictions of a model by the official protocol; docs/how-to/evaluation.md tells metrics and formats.

    ``.records()`` are the scores as plain data, ``.value("AP", "occlusion=heavy")`` is one of them, and ``.tables`` has
    Arrow tables, such as ``items``: each item with its prediction and kind of error.

    Args:
        registry: an open registry.
        task: ``boxes``, ``masks``, ``landmarks``, ``retrieval`` or ``embeddings``.
        predictions: path or URL of a file, Arrow table, or frame of pandas or polars.
        subset: a :class:`registry.subset.options.Subset` or its options: the items that count.
        storage_options: passed to fsspec for ``predictions``.
        options: of :func:`registry.evaluation.run.evaluate`: ``by``, ``slice_images``, ``resamples``, ``against``,
            ``skip_bad``. Those of retrieval: :func:`registry.evaluation.retrieval.evaluate_retrieval`; of embeddings:
            :func:`registry.evaluation.embeddings.evaluate_embeddings`.

    Raises:
        registry.errors.UsageError: there is no such task or option, or an expression is not allowed.
        registry.errors.NotFoundError: there is nothing to evaluate, or no such file.
        registry.errors.AnnotationError: predictions cannot be evaluated; the message counts all problems.
    """
    from registry.dataset.deepfashion2 import unknown_name
    from registry.errors import UsageError
    from registry.evaluation import embeddings, retrieval, run

    tasks: dict[str, Callable[..., Evaluation]] = {
        **{name: functools.partial(run.evaluate, registry, name) for name in run.TASKS},
        "retrieval": functools.partial(retrieval.evaluate_retrieval, registry),
        "embeddings": functools.partial(embeddings.evaluate_embeddings, registry),
    }
    if task not in tasks:
        raise unknown_name("task", task, list(tasks))
    known = inspect.signature(tasks[task]).parameters
    for name in options:
        if name not in known:
            raise unknown_name("option", name, [name for name in known if name != "predictions"])
    if options.get("resamples", 0) < 0:
        raise UsageError(f"resamples: expected a number of at least 0, found {options['resamples']}.")
    return tasks[task](predictions, subset=_subset(subset), storage_options=storage_options, **options)


def _subset(subset: Subset | Mapping[str, Any] | None) -> Subset:
    """Return a subset that is given by itself or by its options."""
    from registry.subset.options import Subset

    return subset if isinstance(subset, Subset) else Subset.of(**(subset or {}))


def compare_with_release(registry: Registry | Selection) -> ReleaseComparison:
    """Return a registry, or a subset of it, beside the published numbers of the official release.

    ``.rows`` has an entry for each number, ``.sentences`` says which edition each split is, ``.contradictions`` where
    published numbers contradict each other, and ``.agrees`` whether all agree.

    Raises:
        registry.errors.RegistryFormatError: a file cannot be read.
    """
    from registry.checks.official import compare_with_release

    return compare_with_release(registry)


def views_sql(registry: Registry, dialect: str = "duckdb", names: Sequence[str] = ()) -> Ddl:
    """Return the statements that create the tables and views of a registry in another engine.

    Run ``.statements`` in their order. ``.notices`` name the columns that the engine cannot read. ``str()`` is the
    text of ``df2 views``. The engine reads the Parquet files itself, as docs/how-to/engines.md tells.

    Args:
        registry: an open registry.
        dialect: ``duckdb`` or ``spark``.
        names: tables and views, to which those that they read are added; all by default.

    Raises:
        registry.errors.UnknownNameError: there is no such dialect, table or view.
        registry.errors.UsageError: the engine cannot name the registry's path.
    """
    from registry.store.ddl import make_ddl

    return make_ddl(registry, dialect, names)
