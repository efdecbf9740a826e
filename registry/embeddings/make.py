"""Makes the vectors of a model out of photos, and adds them to a registry."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from registry.dataset.arrays import Ints
from registry.dataset.deepfashion2 import find_split
from registry.embeddings.add import AddReport, add_embeddings, check_model
from registry.embeddings.embedders import Embedder, Vectors, embed, open_embedder
from registry.errors import (
    ConflictError,
    PasswordError,
    SourceError,
    UnknownNameError,
    UnreadableSourceError,
    UsageError,
)
from registry.execution.cluster import max_pending
from registry.execution.in_order import in_order
from registry.execution.packing import pack_for_run, unpack_once
from registry.execution.processes import process_pool
from registry.execution.progress import Progress
from registry.execution.worker import Sample
from registry.files.private_folder import private_folder
from registry.snapshot.manifest import Manifest, read_manifest
from registry.sources.cluster_places import for_workers, spread
from registry.sources.photo_crops import crop_within
from registry.sources.photo_decoding import PhotoError, decode_rgb
from registry.sources.photo_reader import PhotoReader
from registry.storage.options import StorageOptions
from registry.storage.place import Place
from registry.store.registry import Registry
from registry.store.sql import SPLIT_ORDER
from registry.wording import plural

if TYPE_CHECKING:
    import pyarrow as pa

#: Photos that a worker process takes at a time.
_PHOTOS: Final = 64
#: Crops that are embedded at a time, and bytes of decoded photos that wait for it.
_BATCH: Final = 64
_MAX_BYTES: Final = 128 << 20
#: Keys that a notice names.
_NAMED: Final = 3
_ITEMS: Final = f"""
    SELECT split, image_id, item_no, x1, y1, x2, y2, images.width, images.height, sha256, {SPLIT_ORDER} AS split_no
    FROM items JOIN images USING (split, image_id) LEFT JOIN photos USING (split, image_id)
    WHERE list_contains($splits, split) ORDER BY {SPLIT_ORDER}, image_id, item_no
"""


class _Item(NamedTuple):
    """A row of :data:`_ITEMS`."""

    split: str
    image_id: int
    item_no: int
    x1: float
    y1: float
    x2: float
    y2: float
    width: int | None
    height: int | None
    sha256: str | None

    @property
    def key(self) -> str:
        return f"{self.split}/{self.image_id:06d} item {self.item_no}"


@dataclass(slots=True)
class _Made:
    """The vectors of the items in a run of photos, and the photos and items without one.

    Attributes:
        items: positions in the run of the items with a vector.
        vectors: of these items.
        photos: for each photo that cannot be used: why, and the number of its items.
        no_area: keys of items whose box has no area within the photo.
    """

    items: list[int] = field(default_factory=list)
    vectors: list[Vectors] = field(default_factory=list)
    photos: list[tuple[str, int]] = field(default_factory=list)
    no_area: list[str] = field(default_factory=list)


def make_embeddings(
    registry: str,
    embedder: str | Embedder,
    photos: str | Mapping[str, str],
    *,
    splits: Sequence[str] = (),
    model: str | None = None,
    jobs: int = 1,
    dtype: str = "float16",
    replace: bool = False,
    password: str | None = None,
    storage_options: StorageOptions | None = None,
    follow_links: bool = False,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> AddReport:
    """Make a vector of each item out of its photo, add them to a registry as a model's, and return a report.

    Each photo is read and decoded once. Items whose photo is missing or damaged, or whose box has no area within it,
    get no vector, and a notice names the first. The registry is changed in one step at the end.

    Args:
        registry: folder or fsspec URL of the registry.
        embedder: name of an embedder, or an embedder; with several jobs it must pickle.
        photos: release with the photos, or mapping from split to its place.
        splits: whose items get vectors; all of the registry without any.
        model: name of the model; that of the embedder for None.
        jobs: number of worker processes; 1 starts none.
        dtype: of the stored numbers, ``float16`` or ``float32``.
        replace: whether the vectors of a model of this name are replaced.
        password: of protected zips.
        storage_options: passed to fsspec, for the photos and the registry.
        follow_links: whether photos may be links that lead out of their folder.
        executor: makes the vectors instead of local processes, as for :func:`registry.ingest.build.ingest`.
        progress: called with the number of photos done, and of all.

    Raises:
        UnknownNameError: there is no such split or embedder.
        ConflictError: the registry has a model of this name.
        UsageError: the embedder cannot be loaded, or fails; or the name or dtype cannot be used.
        SourceError, PasswordError: the photos cannot be listed, or none can be read.
        StorageError: the registry cannot be read or written.
    """
    place = Place(registry, storage_options)
    manifest = read_manifest(place)
    chosen = _splits(place, manifest, splits)
    is_remote_memory = any(url.startswith("memory://") for url in _places(photos))
    cluster, jobs, photos = for_workers(executor, jobs, photos, storage_options, password)
    with process_pool(cluster, 1 if is_remote_memory else jobs) as pool:
        maker = open_embedder(embedder)
        model = maker.name if model is None else model
        check_model(model, dtype, getattr(maker, "weights", None), maker.crop)
        _check_free(place, manifest, model, chosen, replace)
        reader = PhotoReader(photos, password=password, storage_options=storage_options, follow_links=follow_links)
        try:
            table = Registry(registry, storage_options).sql(_ITEMS, {"splits": chosen}).to_arrow_table()
            reader.prepare(table.column("split").unique().to_pylist())
            work = (
                (cluster.share((embedder, reader)) if cluster else pack_for_run((embedder, reader), {}))
                if pool
                else b""
            )
            if cluster and table.num_rows:
                keys = spread(
                    list(zip(*(table.column(name).to_pylist() for name in ("split", "image_id")), strict=True))
                )
                cluster.expect(Sample(str(photos), _photo_digests(reader, keys), _digests_in_worker, (work, keys)))

            def results() -> Iterator[tuple[list[_Item], _Made]]:
                if pool is None:
                    yield from ((items, _embed(maker, reader, items)) for items in _runs(table))
                else:
                    calls = ((items, pool.submit(_embed_in_worker, work, items)) for items in _runs(table))
                    yield from in_order(calls, max_pending(pool, jobs))

            with TemporaryDirectory(dir=private_folder()) as folder:
                path = Path(folder, "vectors.parquet")
                notices = _write(path, maker, results(), table, progress)
                report = add_embeddings(
                    registry,
                    model,
                    str(path),
                    dtype=dtype,
                    weights=getattr(maker, "weights", None),
                    crop=maker.crop,
                    replace=replace,
                    skip_unknown=True,  # of items that another process removed meanwhile
                    storage_options=storage_options,
                    seen=table,
                )
        finally:
            reader.close()
    report.notices[:0] = notices
    return report


def _places(photos: str | Mapping[str, str]) -> list[str]:
    return [photos] if isinstance(photos, str) else list(photos.values())


def _splits(place: Place, manifest: Manifest, splits: Sequence[str]) -> list[str]:
    """Return the splits that are meant, without repeats; all of a registry for none."""
    chosen = list(dict.fromkeys(map(find_split, splits))) or list(manifest.splits)
    absent = [split for split in chosen if split not in manifest.splits]
    if absent or not chosen:
        names = ", ".join(manifest.splits) or "none yet"
        raise UnknownNameError(f"{place} has no {', '.join(absent) or 'split'}; there is: {names}.")
    return chosen


def _check_free(place: Place, manifest: Manifest, model: str, splits: Sequence[str], replace: bool) -> None:
    """Refuse a model that is there already before any photo is read, or whose other splits would be lost."""
    old = dict.fromkeys(str(file.split) for file in manifest.of_model(model))
    if old and not replace:
        raise ConflictError(
            f"{place} has vectors of a model {model}: expected another name, or --replace to put these in their place."
        )
    lost = [split for split in old if split not in splits]
    if lost:
        raise UsageError(
            f"The vectors of {model} in {', '.join(lost)} would be lost: a model is replaced whole. Name "
            f"{'this split' if len(lost) == 1 else 'these splits'} too, or give the new vectors another name."
        )


def _runs(table: pa.Table) -> Iterator[list[_Item]]:
    """Yield the items of runs of photos."""
    run: list[_Item] = []
    num_photos = 0
    for _, items in groupby(_items(table), key=lambda item: (item.split, item.image_id)):
        run += items
        num_photos += 1
        if num_photos == _PHOTOS:
            yield run
            run, num_photos = [], 0
    if run:
        yield run


def _items(table: pa.Table) -> Iterator[_Item]:
    for batch in table.select(_Item._fields).to_batches(max_chunksize=4096):
        yield from map(_Item._make, zip(*(column.to_pylist() for column in batch.columns), strict=True))


@lru_cache(maxsize=1)
def _loaded(work: bytes) -> tuple[Embedder, PhotoReader]:
    """Return the embedder and the photos of a worker process, which keeps them for its next run of photos."""
    embedder, reader = unpack_once(work)
    return open_embedder(embedder), reader


def _embed_in_worker(work: bytes, items: Sequence[_Item]) -> _Made:
    return _embed(*_loaded(work), items)


def _digests_in_worker(work: bytes, keys: Sequence[tuple[str, int]]) -> dict[str, str]:
    return _photo_digests(_loaded(work)[1], keys)


def _embed(embedder: Embedder, reader: PhotoReader, items: Sequence[_Item]) -> _Made:
    """Return the vectors of a run of photos."""
    result = _Made()
    waiting: list[tuple[int, npt.NDArray[np.uint8]]] = []
    num_bytes = 0

    def finish() -> None:
        if waiting:
            result.items.extend(at for at, _ in waiting)
            result.vectors.append(embed(embedder, [crop for _, crop in waiting], [items[at].key for at, _ in waiting]))
            waiting.clear()

    for (split, image_id), group in groupby(enumerate(items), key=lambda pair: (pair[1].split, pair[1].image_id)):
        of_photo = list(group)
        pixels = _photo(reader, split, image_id, of_photo[0][1])
        if isinstance(pixels, str):
            result.photos.append((pixels, len(of_photo)))
            continue
        height, width = pixels.shape[:2]
        for at, item in of_photo:
            edges = crop_within((item.x1, item.y1, item.x2, item.y2), embedder.margin, width, height)
            if edges is None:
                result.no_area.append(item.key)
            else:
                # A copy: an embedder that changes a crop would change other crops of the same photo.
                waiting.append((at, pixels[edges[1] : edges[3], edges[0] : edges[2]].copy()))
                num_bytes += waiting[-1][1].nbytes
        if len(waiting) >= _BATCH or num_bytes >= _MAX_BYTES:
            finish()
            num_bytes = 0
    finish()
    return result


def _photo_digests(reader: PhotoReader, keys: Sequence[tuple[str, int]]) -> dict[str, str]:
    """Return the digest of each photo, or a text where it cannot be read."""
    digests = {}
    for split, image_id in keys:
        try:
            digest = hashlib.sha256(reader.read(split, image_id)).hexdigest()
        except (PasswordError, UnreadableSourceError):
            raise
        except SourceError:
            digest = "cannot be read"
        digests[f"{split}/image/{image_id:06d}.jpg"] = digest
    return digests


def _photo(reader: PhotoReader, split: str, image_id: int, item: _Item) -> npt.NDArray[np.uint8] | str:
    """Return the pixels of a photo, or why it cannot be used.

    Raises:
        PasswordError, UnreadableSourceError: the place of all photos fails.
    """
    key = f"{split}/image/{image_id:06d}.jpg"
    try:
        data = reader.read(split, image_id)
        if item.sha256 is not None and hashlib.sha256(data).hexdigest() != item.sha256:
            return f"{key} is another file than the one that 'df2 photos describe' has read"
        pixels = decode_rgb(data)
    except (PasswordError, UnreadableSourceError):
        raise
    except SourceError as error:
        return str(error).rstrip(".")
    except PhotoError as error:
        return f"{key}: {error}"
    height, width = pixels.shape[:2]
    if item.width not in (None, width) or item.height not in (None, height):
        return f"{key} has {width} x {height} px, and {item.width} x {item.height} px in the registry"
    return pixels


def _write(
    path: Path,
    embedder: Embedder,
    results: Iterator[tuple[list[_Item], _Made]],
    table: pa.Table,
    progress: Progress | None,
) -> list[str]:
    """Write the vectors of all items into a Parquet file; return notices on those that have none.

    Raises:
        SourceError: no item has a vector.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    keys = {"split": pa.string(), "image_id": pa.int32(), "item_no": pa.int16()}
    schema = pa.schema({**keys, "vector": pa.list_(pa.float32(), embedder.dimensions)})
    num_photos, done, num_vectors = _num_photos(table), 0, 0
    left_out = _Made()
    with pq.ParquetWriter(path, schema, compression="none", use_dictionary=["split"]) as writer:
        for items, result in results:
            if result.items:
                columns = zip(*(items[at][:3] for at in result.items), strict=True)
                arrays = [pa.array(values, kind) for values, kind in zip(columns, keys.values(), strict=True)]
                flat = pa.array(np.concatenate(result.vectors).ravel())
                vectors = pa.FixedSizeListArray.from_arrays(flat, embedder.dimensions)
                writer.write_batch(pa.record_batch([*arrays, vectors], schema=schema))
                num_vectors += len(result.items)
            left_out.photos += result.photos
            left_out.no_area += result.no_area
            done += len({item[:2] for item in items})
            if progress:
                progress(done, num_photos)
    notices = _notices(left_out)
    if not num_vectors:
        raise SourceError(f"No item has a vector, and nothing was changed: {'; '.join(notices) or 'there is no item'}.")
    return notices


def _num_photos(table: pa.Table) -> int:
    """Return the number of photos of items, which are sorted."""
    image_id: Ints = np.array(table.column("image_id"), np.int64)
    split = np.array(table.column("split").to_pylist(), object)
    return int(((image_id[1:] != image_id[:-1]) | (split[1:] != split[:-1])).sum()) + 1 if len(image_id) else 0


def _notices(left_out: _Made) -> list[str]:
    notices = []
    if left_out.photos:
        num_items = sum(number for _, number in left_out.photos)
        first = _first([reason for reason, _ in left_out.photos])
        notices.append(
            f"{plural(len(left_out.photos), 'photo')} missing, damaged or another than the registry has, so that "
            f"{plural(num_items, 'item')} got no vector ({first})"
        )
    if left_out.no_area:
        notices.append(
            f"{plural(len(left_out.no_area), 'item')} got no vector, as the box has no area within the photo "
            f"({_first(left_out.no_area)})"
        )
    return notices


def _first(texts: Sequence[str]) -> str:
    """Return the first texts, and the number of the others."""
    more = f"; and {len(texts) - _NAMED:,} more" if len(texts) > _NAMED else ""
    return "; ".join(texts[:_NAMED]) + more
