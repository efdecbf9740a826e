"""A running export, as a format sees it: rows and photos to read, files to write, counts for the manifest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from registry.dataset.file_names import suffix
from registry.errors import UsageError
from registry.exports.work import SLICE_IMAGES, ChunkWork, Result, VersionedRows, results_of_workers
from registry.store.on_workers import share_version
from registry.subset.rows import Chunk, Part

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.execution.cluster import ClusterExecutor
    from registry.execution.progress import Progress
    from registry.exports.files import Files
    from registry.sources.photos import Photos
    from registry.subset.classes import Classes


class Job(ChunkWork):
    """A running export: a format reads rows and photos from it and writes files to it.

    Attributes:
        files: writes the files.
        cluster: runs :meth:`map` and the work on photos where the registry and the release are readable, too; None for
            this process.
        counts: part name -> ``images``, ``items`` and the counts of :meth:`count`.
        num_links_out: photos that are symbolic links out of the export.

    ``puts_photos`` tells that :meth:`put_all_photos` follows the format's own work: an image then counts twice for
    ``progress``.
    """

    def __init__(
        self,
        options: Mapping[str, Any],
        images: str,
        rows: VersionedRows,
        files: Files,
        photos: Photos | None,
        progress: Progress | None,
        *,
        classes: Classes,
        cluster: ClusterExecutor | None = None,
        puts_photos: bool = False,
    ) -> None:
        super().__init__(options, images, classes)
        self.files = files
        self.cluster = cluster
        self.counts = {part.name: dict(rows.counts(part)) for part in rows.parts}
        self.num_links_out = 0
        self._rows = rows
        self._packed_rows = b""
        self._photos = photos
        self._progress = progress
        self._num_done = 0
        self._num_steps = (2 if puts_photos else 1) * sum(counts["images"] for counts in self.counts.values())
        self._other_suffixes: dict[str, set[int]] = {}
        #: Split -> image_id -> path of the photo that was put first.
        self._photo_paths: dict[str, dict[int, str]] = {}

    @property
    def parts(self) -> Sequence[Part]:
        """The parts in order: the splits, or the parts of a resplit. A part may be empty."""
        return self._rows.parts

    @property
    def divided(self) -> bool:
        """Whether the parts come from a resplit."""
        return self._rows.divided

    def chunks(self, part: Part, columns: Sequence[str] = ()) -> Iterator[Chunk]:
        """Yield the images of a part with these columns of their items, in file order."""
        for chunk in self._rows.chunks(part, columns):
            yield chunk
            if columns:
                self._advance(chunk)

    def map(
        self, part: Part, columns: Sequence[str], function: Callable[[ChunkWork, Chunk], Result]
    ) -> Iterator[tuple[Chunk, Result]]:
        """Yield each chunk of a part and a function's result of it, in file order; workers call it if there are any.

        Args:
            part: the part.
            columns: of the items, for the function alone: those of the chunk that is yielded may be missing.
            function: gets the options, and counts, by its first argument; on workers as
                :func:`registry.exports.work.results_of_workers` says.
        """
        if self.cluster is None:
            for chunk in self.chunks(part, columns):
                yield chunk, function(self, chunk)
            return
        if not self._packed_rows:
            self._packed_rows = share_version(self.cluster, self._rows)
        slices = self._rows.slices(part, SLICE_IMAGES)
        for chunk, result in results_of_workers(self.cluster, self._packed_rows, slices, self, columns, function):
            yield chunk, result
            self._advance(chunk)

    def own_schema(self) -> pa.Schema:
        """Return the Arrow fields of the columns of the user's tables that the options name (``TABLE.COLUMN``)."""
        return self._rows.own_schema()

    def pairs(self, part: Part, negatives: int = 0, hard_negatives: int = 0, seed: int = 0) -> Iterator[pa.RecordBatch]:
        """Yield the pairs of items within a part (see :mod:`registry.store.pairs`)."""
        return self._rows.pairs(part, negatives, hard_negatives, seed)

    @property
    def photo_notices(self) -> Sequence[str]:
        """What is odd in the places of the photos read so far and was accepted."""
        return self._photos.notices if self._photos else ()

    def num_other_suffixes(self) -> int:
        """Return the number of photos that were put under the name in the registry though theirs has another suffix."""
        return sum(map(len, self._other_suffixes.values()))

    def photos(self, chunk: Chunk) -> Iterator[bytes]:
        """Yield the bytes of each image's photo.

        Raises:
            UsageError: the export has no source of photos.
            SourceError: a photo is missing or cannot be read.
        """
        return self._require_photos().read(chunk.split, chunk.images.column("image_id").to_pylist())

    def source_of_photos(self, cluster: ClusterExecutor) -> Photos:
        """Return the source of photos, to be read on a cluster, whose workers compare some photos of each split.

        Raises:
            UsageError: the export has none.
            SourceError: it cannot be opened.
        """
        photos = self._require_photos()
        for split in dict.fromkeys(split for part in self.parts for split in part.splits):
            photos.expect_on(cluster, split)
        return photos

    def note_suffixes(self, chunk: Chunk) -> None:
        """Count the photos of a chunk that have another suffix than in the registry, whose names the files take."""
        image_ids = chunk.images.column("image_id").to_pylist()
        names = zip(
            chunk.images.column("file_name").to_pylist(),
            self._require_photos().names(chunk.split, image_ids),
            strict=True,
        )
        others = [image_id for image_id, pair in zip(image_ids, names, strict=True) if len(set(map(_kind, pair))) > 1]
        self._other_suffixes.setdefault(chunk.split, set()).update(others)

    def put_photos(self, chunk: Chunk, paths: Iterable[str]) -> None:
        """Link or copy each image's photo to its path in the export.

        A photo that is put again is a hard link to its first copy, where the destination has such links.
        """
        photos = self._require_photos()
        self.note_suffixes(chunk)
        split, image_ids = chunk.split, chunk.images.column("image_id").to_pylist()
        if self.images == "link" and not photos.are_cached(split):
            for path, target in zip(paths, photos.paths(split, image_ids), strict=True):
                self.files.link(path, target)
            self.num_links_out += len(image_ids)
            return
        first_paths = self._photo_paths.setdefault(split, {})
        new: list[tuple[int, str]] = []
        again: list[tuple[str, str]] = []
        for image_id, path in zip(image_ids, paths, strict=True):
            if image_id in first_paths and self.files.has_links:
                again.append((path, first_paths[image_id]))
            else:
                new.append((image_id, path))
                first_paths[image_id] = path
        new_ids = [image_id for image_id, _ in new]
        new_paths = [path for _, path in new]
        if self.images == "link":
            cached = photos.cached(split, new_ids)
            self.files.write_linked((path, *photo) for path, photo in zip(new_paths, cached, strict=True))
        else:
            self.files.write_all(zip(new_paths, photos.read(split, new_ids), strict=True))
        if again:
            self.files.repeat(again)

    def put_all_photos(self, template: str) -> None:
        """Link or copy the photo of every image.

        Args:
            template: path of a photo in the export, with the placeholders ``{part}`` and ``{name}``.
        """
        for part in self.parts:
            for chunk in self.chunks(part):
                self.put_photos(chunk, (template.format(part=part.name, name=name) for name in chunk.file_names()))
                self._advance(chunk)

    def count(self, part: Part, name: str, number: int) -> None:
        """Add to a count of the part in the manifest."""
        counts = self.counts[part.name]
        counts[name] = counts.get(name, 0) + number

    def _advance(self, chunk: Chunk) -> None:
        """Report the images of a chunk as done."""
        self._num_done += chunk.images.num_rows
        if self._progress:
            self._progress(min(self._num_done, self._num_steps), self._num_steps)

    def end_progress(self) -> None:
        """Report all images as done; a format may have passed over a part."""
        if self._progress and self._num_done < self._num_steps:
            self._progress(self._num_steps, self._num_steps)

    def _require_photos(self) -> Photos:
        if self._photos is None:
            raise UsageError(
                "Photos are needed: --photos RELEASE names the folder or URL that holds them, as for 'df2 ingest'."
            )
        return self._photos


def _kind(name: str) -> str:
    """Return the kind of a photo by the suffix of its name."""
    return suffix(name).lower().replace("jpeg", "jpg")
