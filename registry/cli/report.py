"""``df2 report``: a page about the registry."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from registry.cli.context import Places, note
from registry.cli.diff import open_version
from registry.cli.examples import examples
from registry.cli.password import password_from_environment, with_password
from registry.cli.paths import PLACE, FileType
from registry.cli.photo_options import PASSWORD_PROMPT, photo_sources, photos_option
from registry.cli.pictures import BAD_INPUT, open_photos, print_problems
from registry.cli.progress import progress_bar
from registry.cli.subset_options import undivided_subset_options
from registry.errors import PasswordError
from registry.files.temporary import make_output_folder, write_text
from registry.redaction import printable, redact
from registry.storage.paths import local_path
from registry.wording import size

if TYPE_CHECKING:
    from registry.evaluation.results import Evaluation
    from registry.report.provenance import Against
    from registry.store.registry import Registry
    from registry.subset.options import Subset


class _PageType(FileType):
    """A file for the page: its name ends in .html, and it is no folder."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path or URL; fail if it names a folder, or a file of another kind."""
        text = printable(redact(os.fspath(value)))
        path = local_path(value) if value else None
        if (path is not None and path.is_dir()) or (value and value.endswith(("/", os.sep))):
            self.fail(f"{text} is a folder; expected a file in it, such as {text.rstrip('/')}/report.html.", param, ctx)
        if value and not value.lower().endswith((".html", ".htm")):
            self.fail(f"expected a name that ends in .html, found {text}.", param, ctx)
        return super().convert(value, param, ctx)


@examples(
    "df2 report report.html",
    "df2 report skirts.html --category skirt",
    "df2 report report.html --against v1.0",
    "df2 report model.html --split validation --predictions predictions.json",
)
@click.command("report")
@click.argument("dest", metavar="DEST.html", type=_PageType(url_okay=True))
@click.option(
    "--against",
    type=PLACE,
    metavar="REV|URL",
    help="Another version: a git revision (a tag, a commit), a folder or a URL. The page says what changed since then.",
)
@click.option(
    "--predictions", type=PLACE, metavar="FILE|URL", help="Also show how good these predictions are (df2 evaluate)."
)
@click.option(
    "--task",
    type=click.Choice(["boxes", "masks", "landmarks"]),
    show_default="boxes",
    help="The task of --predictions.",
)
@photos_option
@undivided_subset_options
@click.pass_context
def report_command(
    ctx: click.Context,
    dest: str,
    against: str | None,
    predictions: str | None,
    task: str | None,
    photos: str | None,
    follow_links: bool,
    subset: Subset,
    tables: dict[str, str],
) -> None:
    """Write one page about the registry.

    It has counts, plots, checks with pictures of the rows they found, the registry beside the official release, the
    changes since another version, and how it was made; with --predictions, first of all how good a model is, with its
    worst images. DEST.html is a single file that loads nothing: it opens offline, on a phone, in dark mode and on
    paper. Photos that are not found are drawn as plain canvases.

    Exit code 3: the page was written, and a photo is damaged, or is not in the RELEASE of --photos.
    """
    from registry.checks.settings import load_check_settings
    from registry.history.git import revision_of
    from registry.report.page import Report, report

    if task is not None and predictions is None:
        raise click.UsageError("--task is that of --predictions, which are not given.")
    places: Places = ctx.obj
    params = ctx.params["params"]
    settings = load_check_settings(params)
    registry = places.open(tables=tables)
    other = _against(places, against) if against else None
    evaluation = _evaluation(places, registry, subset, predictions, task or "boxes") if predictions else None
    sources = photo_sources(photos, params)

    def attempt(password: str | None, sources: str | dict[str, str] | None = sources) -> Report:
        opened = open_photos(places, sources, password, follow_links)
        with progress_bar("Checking") as progress:
            return report(
                registry,
                subset,
                against=other,
                photos=opened,
                must_have_photos=photos is not None,
                settings=settings,
                evaluation=evaluation,
                revision=revision_of(registry.place),
                progress=progress,
            )

    try:
        page = with_password(attempt, PASSWORD_PROMPT) if photos else attempt(password_from_environment())
    except PasswordError as error:
        if photos:
            raise
        note(f"note: the page shows no photos: {error}")
        page = attempt(None, None)
    with places.local_file(dest) as path:
        make_output_folder(path.parent)
        write_text(path, page.html)
    note(f"Wrote {redact(dest)} ({size(len(page.html.encode()))}).")
    print_problems(page.problems)
    if page.problems.bad_input:
        ctx.exit(BAD_INPUT)


def _against(places: Places, name: str) -> Against:
    """Return the other version; a folder is shown by its own name alone, as the page names no path."""
    from registry.report.provenance import Against

    path = local_path(name)
    shown = redact(name) if path is None or not path.is_dir() else Path(path).resolve().name
    return Against(open_version(places, name), shown)


def _evaluation(places: Places, registry: Registry, subset: Subset, predictions: str, task: str) -> Evaluation:
    """Return how good predictions are, also by the attributes that the published results are of."""
    from registry.dataset.deepfashion2 import ATTRIBUTE_CODES
    from registry.evaluation.run import evaluate

    return evaluate(
        registry,
        task,
        predictions,
        subset=subset,
        by=list(ATTRIBUTE_CODES),
        storage_options=places.storage_options,
    )
