"""Images with their items out of the shards of a WebDataset export, as a stream with exact epochs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import numpy as np

from registry.errors import RegistryFormatError, UsageError
from registry.exports.files import MANIFEST_NAME
from registry.exports.manifest import ExportManifest
from registry.loaders.random_keys import random_keys, random_order
from registry.loaders.resuming import check_epoch, check_state, is_whole
from registry.loaders.tar_samples import ShardList, TarSamples
from registry.storage.options import StorageOptions
from registry.storage.place import Place
from registry.wording import plural

#: First number after seed and epoch: every use of random keys has its own stream.
_SHARDS, _BUFFER = range(2)
#: Places in the numbers that worker processes share.
_EPOCH, _RESUMED_EPOCH, _BATCHES, _BATCH_SIZE, _DROPS_LAST, _WORKERS = range(6)

Sample = dict[str, Any]


class ShardSamples:
    """The images of a part of a WebDataset export: a stream that reads each shard from its start to its end.

    A sample is the row of ``images`` as a dictionary, with the image's rows of items under ``items``, and the photo
    under ``photo``: RGB, uint8 ``(height, width, 3)``, as its pixels are stored. An export without photos has None.

    An epoch gives each sample once over all ranks and workers: its samples, in the order of its shards, are cut into
    ranges of equal length, one for each rank, and these into ranges for the workers. Where a range begins or ends in
    the middle of a shard, its two neighbours each read their part. Order and ranges depend on seed, epoch, and the
    numbers of ranks and workers alone.

    Attributes:
        num_samples: number of samples of an epoch of this rank.
        notices: sentences about samples that are left out.

    >>> shards = registry.loaders.Shards("s3://bucket/shards", "train", transform=to_tensors)    # doctest: +SKIP
    >>> for epoch in range(20):                                                                  # doctest: +SKIP
    ...     shards.set_epoch(epoch)
    ...     for batch in DataLoader(shards, batch_size=32, num_workers=2): ...
    """

    def __init__(
        self,
        url: str,
        part: str = "train",
        *,
        transform: Callable[[Sample], Any] | None = None,
        decode: bool = True,
        shuffle: int = 1_000,
        drop_last: bool = True,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        storage_options: StorageOptions | None = None,
    ) -> None:
        """Read the manifest of the export.

        Args:
            url: folder or fsspec URL that ``df2 export webdataset`` wrote.
            part: split, or part of a resplit, of the export.
            transform: called with each sample; its result is given instead.
            decode: give the pixels of photos; otherwise ``photo`` is the bytes of the file.
            shuffle: number of samples that a worker holds back, undecoded, to shuffle; shards are shuffled too. 0 gives
                the stored order, as for an evaluation.
            drop_last: leave out the samples that do not divide by the ranks, ``world_size - 1`` at most, so that all
                ranks give the same number. Otherwise ranks differ by a sample at most.
            seed: of all random choices.
            rank: number of this process among those that train together.
            world_size: number of these processes.
            storage_options: passed to fsspec for a URL.

        Raises:
            NotFoundError: there is no export.
            UsageError: it is of another format, has no such part, or an argument is out of range.
        """
        if (
            not all(map(is_whole, (shuffle, seed, rank, world_size)))
            or min(shuffle, seed) < 0
            or not (0 <= rank < world_size)
        ):
            raise UsageError(
                f"Shards: shuffle is {shuffle!r}, seed {seed!r}, rank {rank!r} and world_size {world_size!r}; expected "
                "whole numbers, shuffle and seed of 0 or more, and 0 <= rank < world_size."
            )
        self.transform = transform
        self.shuffle = shuffle
        self.seed = seed
        self._shards = _shards(url, part, storage_options)
        self._files = TarSamples(url, storage_options, decode=decode)
        total = self._shards.num_samples
        if total < world_size:
            raise UsageError(
                f"The part {part} of {url} has {plural(total, 'sample')}, and world_size is {world_size}: each rank "
                "needs a sample. Take fewer processes, or another part."
            )
        share = total // world_size
        self._first = rank * share if drop_last else rank * total // world_size
        self.num_samples = share if drop_last else (rank + 1) * total // world_size - self._first
        rest = total - share * world_size
        self.notices: tuple[str, ...] = ()
        if drop_last and rest:
            text = f"{plural(rest, 'sample')} of {total:,} left out of each epoch, so that all ranks give {share:,}."
            self.notices = (text,)
        self._settings = {
            "part": part, "samples": total, "shards": len(self._shards), "shuffle": shuffle, "drop_last": drop_last,
            "seed": seed, "world_size": world_size, "shard_size": self._shards.shard_size,
            "registry": self._shards.registry,
        }  # fmt: skip
        self._shared: Any = np.array([0, -1, 0, 1, 0, 1], dtype=np.int64)

    @property
    def epoch(self) -> int:
        """Number of the epoch that the next pass gives."""
        return int(self._shared[_EPOCH])

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next pass; without it, each pass has the same order."""
        check_epoch(epoch)
        if epoch != self.epoch:
            self._shared[_RESUMED_EPOCH] = -1
        self._shared[_EPOCH] = epoch

    def state_dict(self, batches: int, loader: Any = None) -> dict[str, Any]:
        """Return the position in the epoch, to resume there.

        Args:
            batches: batches of this epoch that training has taken, counted from its start.
            loader: the DataLoader that gave them, with its batch_size, drop_last and num_workers; without it, batches
                are samples of the dataset itself.
        """
        return {
            "epoch": self.epoch,
            "batches": batches,
            "batch_size": getattr(loader, "batch_size", None) or 1,
            "loader_drops_last": bool(getattr(loader, "drop_last", False)),
            "workers": max(1, getattr(loader, "num_workers", 0)),
            "settings": dict(self._settings),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue at a position: passes of its epoch give the remaining batches, up to the next ``set_epoch``.

        Raises:
            UsageError: the position is of other shards or other settings.
        """
        names = ("epoch", "batches", "batch_size", "workers")
        check_state(state, self._settings, "other shards", names)
        if not (state["batch_size"] and state["workers"]):
            raise UsageError("The state is damaged: batch_size or workers is 0; expected 1 or more.")
        drops_last = bool(state.get("loader_drops_last"))
        numbers = (state["epoch"], *(state[name] for name in names[:3]), drops_last, state["workers"])
        for place, number in enumerate(numbers):
            self._shared[place] = int(number)

    def __iter__(self) -> Iterator[Any]:
        """Yield the samples of this worker."""
        worker, num_workers = self._worker()
        epoch, resumed_epoch, batches, batch_size, drops_last, workers = (int(number) for number in self._shared)
        sizes = np.diff(np.arange(num_workers + 1) * self.num_samples // num_workers).tolist()
        taken = 0
        if epoch == resumed_epoch:
            if workers != num_workers:
                raise UsageError(
                    f"The state is of a loader with {plural(workers, 'worker')}, but this loader has {num_workers}: "
                    "use as many to resume within an epoch, or begin the next epoch."
                )
            all_taken, turn = _taken_by_workers(sizes, batches, batch_size, drops_last=bool(drops_last))
            worker = (worker + turn) % num_workers
            taken = all_taken[worker]
        first = self._first + sum(sizes[:worker])
        positions = range(first, first + sizes[worker])
        for sample in self._in_order(epoch, positions, taken):
            yield self.transform(sample) if self.transform is not None else sample

    def _worker(self) -> tuple[int, int]:
        """Return number of this worker and number of workers of the DataLoader."""
        return 0, 1

    def _in_order(self, epoch: int, positions: range, taken: int) -> Iterator[Sample]:
        """Yield the samples at positions of an epoch, in the order of the buffer, without the first ``taken``."""
        order = self._buffered(epoch, positions)
        taken_positions = {next(order) for _ in range(taken)}
        stream = self._stream(epoch, positions, taken_positions)
        held: dict[int, Any] = {}
        for position in order:
            while position not in held:
                read_position, files = next(stream)
                held[read_position] = files
            yield self._files.sample(*held.pop(position))

    def _buffered(self, epoch: int, positions: range) -> Iterator[int]:
        """Yield positions in the order in which they leave a buffer that is refilled in ascending order."""
        if not self.shuffle:
            yield from positions
            return
        keys = random_keys(len(positions), self.seed, epoch, _BUFFER, positions.start)
        slots = (keys % np.uint64(self.shuffle)).tolist()
        buffer = list(positions[: self.shuffle])
        for slot, position in zip(slots, positions[self.shuffle :], strict=False):
            yield buffer[slot]
            buffer[slot] = position
        for place in np.argsort(keys[len(positions) - len(buffer) :], kind="stable"):
            yield buffer[place]

    def _stream(self, epoch: int, positions: range, without: set[int]) -> Iterator[tuple[int, Any]]:
        """Yield position and files of each sample, shard after shard, except those that training has taken."""
        order = random_order(len(self._shards), self.seed, epoch, _SHARDS) if self.shuffle else range(len(self._shards))
        start = 0
        for number in order:
            shard = self._shards[int(number)]
            first = max(positions.start - start, 0)
            stop = min(positions.stop - start, shard.num_samples)
            if first < stop:
                wanted = [start + place not in without for place in range(first, stop)]
                for place, files in self._files.read(shard, first, wanted):
                    yield start + place, (shard, files)
            start += shard.num_samples


def _shards(url: str, part: str, storage_options: StorageOptions | None) -> ShardList:
    """Return the shards of a part of an export, with their numbers of samples."""
    place = Place(url, storage_options)
    manifest = ExportManifest.from_json(place.read(MANIFEST_NAME), f"{place}/{MANIFEST_NAME}")
    if manifest.format != "webdataset":
        raise UsageError(f"{place} is an export in the format {manifest.format}; expected webdataset.")
    if part not in manifest.counts:
        raise UsageError(f"{place} has no part {part!r}; expected one of {', '.join(manifest.counts)}.")
    size, number = manifest.options.get("shard-size"), manifest.counts[part].get("images")
    if not is_whole(size) or not is_whole(number) or size < 1:
        raise RegistryFormatError(
            f"{place}/{MANIFEST_NAME}: shard-size is {size!r} and the part {part} has {number!r} images; expected "
            "whole numbers, and a shard-size of 1 or more. Export the shards again."
        )
    return ShardList(part, number, size, manifest.images == "copy", manifest.registry["manifest_sha256"])


def _taken_by_workers(sizes: list[int], batches: int, batch_size: int, *, drops_last: bool) -> tuple[list[int], int]:
    """Return how many samples of each worker are in the first batches, and the worker whose turn is next.

    A DataLoader takes a batch of each worker in turn, without those that have given all of theirs. Each worker's last
    batch may be smaller.

    Args:
        sizes: samples of each worker.
        batches: number of batches taken.
        batch_size: samples of a batch.
        drops_last: whether the DataLoader leaves out the smaller batches.
    """
    remaining = [size - size % batch_size if drops_last else size for size in sizes]
    taken = [0] * len(sizes)
    worker = 0
    while batches and any(remaining):
        number = min(batch_size, remaining[worker])
        remaining[worker] -= number
        taken[worker] += number
        batches -= number > 0
        worker = (worker + 1) % len(sizes)
    return taken, worker


#: Names that :mod:`registry.loaders` gives without torch.
__all__: Final = ["Sample", "ShardSamples"]
