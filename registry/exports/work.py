"""Work on the chunks of an export: the options it reads, the numbers it counts, and the workers that may do it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

from registry.execution.cluster import max_pending
from registry.execution.in_order import in_order
from registry.execution.packing import unpack_once
from registry.store.on_workers import Versioned
from registry.subset.rows import Chunk, Slice, SubsetRows

if TYPE_CHECKING:
    from registry.execution.cluster import ClusterExecutor
    from registry.subset.classes import Classes

#: Images that a worker reads and works on in a call: 30 MB of COCO, the largest text of an image. The processor time of
#: train as COCO, with two workers: 46 s with 1,024 images, 37 s with 4,096, and 19 s in this process.
SLICE_IMAGES: Final = 4_096
#: Slices that run, or are done and wait for their turn.
_MAX_PENDING: Final = 16

Result = TypeVar("Result")


class VersionedRows(SubsetRows, Versioned, Protocol):
    """The rows of a subset of one version of a registry."""


class ChunkWork:
    """What work on a chunk sees of an export, here or on a worker of a cluster, and what it counts.

    Attributes:
        options: value of every option of the format, by name with hyphens.
        images: one of :data:`registry.exports.format.IMAGES`.
        classes: of the items, for every file that names or numbers classes.
        left_out: (what, why) -> number, from :meth:`leave_out`.
        noticed: (words of a single thing, words of several) -> number, from :meth:`notice`.
    """

    def __init__(self, options: Mapping[str, Any], images: str, classes: Classes) -> None:
        self.options = options
        self.images = images
        self.classes = classes
        self.left_out: Counter[tuple[str, str]] = Counter()
        self.noticed: Counter[tuple[str, str]] = Counter()

    def photo_names(self, chunk: Chunk) -> list[str]:
        """Return the name of each image's photo for data files.

        ``PART/NAME``, relative to the format's folder of photos, where photos are linked or copied; otherwise the path
        in the release (``train/image/000001.jpg``).
        """
        if self.images in ("link", "copy"):
            return [f"{chunk.part.name}/{name}" for name in chunk.file_names()]
        return [f"{chunk.split}/image/{name}" for name in chunk.images.column("file_name").to_pylist()]

    def leave_out(self, what: str, why: str, number: int = 1) -> None:
        """Count rows that are missing from the files or changed in them; the manifest and the command report them."""
        self.left_out[what, why] += number

    def notice(self, number: int, singular: str, plural: str) -> None:
        """Count something odd that the files hold; the manifest and the command report it.

        Args:
            number: added to the count; 0 is no notice.
            singular: the sentence after the number 1: ``image has no annotation``.
            plural: the sentence after any other number: ``images have no annotation``.
        """
        if number:
            self.noticed[singular, plural] += number

    def add_counts(self, other: ChunkWork) -> None:
        """Add the counts of work that was done elsewhere."""
        self.left_out += other.left_out
        self.noticed += other.noticed


def results_of_workers(
    cluster: ClusterExecutor,
    packed_rows: bytes,
    slices: Sequence[Slice],
    work: ChunkWork,
    columns: Sequence[str],
    function: Callable[[ChunkWork, Chunk], Result],
) -> Iterator[tuple[Chunk, Result]]:
    """Yield each chunk without its items, and the result of a function of it, which workers call.

    Args:
        cluster: the workers, which read the rows themselves.
        packed_rows: a :class:`SubsetRows`, from :func:`registry.store.on_workers.share_version`.
        slices: the images.
        work: gets the counts of all workers.
        columns: of the items of each chunk.
        function: defined in a module that the workers can import; its result can be pickled.
    """
    most = max_pending(cluster, 1)
    about = (work.options, work.images, work.classes)
    calls = ((piece, cluster.submit(_run_slice, packed_rows, piece, about, columns, function)) for piece in slices)
    for _, (results, counted) in in_order(calls, lambda: min(most(), _MAX_PENDING)):
        work.add_counts(counted)
        yield from results


def _run_slice(
    packed_rows: bytes,
    piece: Slice,
    about: tuple[Mapping[str, Any], str, Classes],
    columns: Sequence[str],
    function: Callable[[ChunkWork, Chunk], Any],
) -> tuple[list[tuple[Chunk, Any]], ChunkWork]:
    """Return each chunk of a slice without its items, with the result of the function, and the counts."""
    work = ChunkWork(*about)
    rows: SubsetRows = unpack_once(packed_rows)
    results = [(chunk.without_items(), function(work, chunk)) for chunk in rows.read_slice(piece, columns)]
    return results, work
