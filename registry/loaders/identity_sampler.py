"""Batches of P identities with K items each, for losses that compare items."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any, Final, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from registry.errors import UsageError
from registry.loaders.identities import SIDES, Identities, Ints, group_by_identity
from registry.loaders.random_keys import random_order
from registry.loaders.resuming import check_epoch, check_state, checksum_of, is_whole
from registry.wording import plural, sentence

#: First number after seed and epoch: every use of random keys has its own stream.
_IDENTITIES, _COUPLES, _STYLES, _ITEMS = range(4)

SINGLES: Final = ("drop", "repeat")
#: Columns of items that batches depend on.
_GROUPING: Final = ("split", "pair_id", "style", "source")
#: Maximum items of an identity in a batch. Identities with fewer repeat theirs, so that memory grows with it.
_MOST_ITEMS: Final = 1_000


class HasRows(Protocol):
    """A dataset of items, such as :class:`registry.loaders.Items`."""

    @property
    def rows(self) -> pa.Table:
        """A row for each item, in the order of the dataset."""


class IdentitySampler:
    """Batches of ``num_identities`` identities with ``num_items`` items each: lists of indices into a dataset of items.

    Give it to a DataLoader as ``batch_sampler``. It needs no torch.

    An epoch takes each identity once and no item in two batches; an identity with more than ``num_items`` items gives
    a random choice of them, another in each epoch. An identity with fewer gives all of them and repeats them within
    its batch, as MPerClassSampler of pytorch-metric-learning and BalanceSampler of OML do, so that every batch can be
    reshaped to (identities, items). Items of an identity are neighbours in a batch, consumer items before shop items.

    Batches depend on seed and epoch alone, not on the machine, the process or the version of NumPy.

    Attributes:
        epoch: number of the running epoch, or of the next one if none has begun.
        identities: the identities that batches are drawn from.
        notices: sentences about items and identities that are left out or repeated.

    >>> sampler = IdentitySampler(items, num_identities=16, num_items=4)              # doctest: +SKIP
    >>> for epoch in range(20):                                                       # doctest: +SKIP
    ...     sampler.set_epoch(epoch)
    ...     for batch in DataLoader(items, batch_sampler=sampler, num_workers=2): ...
    """

    def __init__(
        self,
        items: HasRows | pa.Table,
        num_identities: int,
        num_items: int,
        *,
        sides: Literal["both", "user", "shop", "any"] = "both",
        hard: float = 0.0,
        singles: Literal["drop", "repeat"] = "drop",
        drop_last: bool = True,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        """Group the items of a dataset by identity.

        Args:
            items: a dataset with ``rows``, or such an Arrow table: split, pair_id, style and source of each item.
            num_identities: identities of a batch (P).
            num_items: items of each identity (K).
            sides: ``both`` gives each identity half consumer and half shop items, the odd item being a consumer item;
                identities without a side are left out. ``user`` and ``shop`` draw from that side alone, ``any`` from
                both without a balance.
            hard: share of the identities of a batch, from 0 to 1, that have a partner in it of the same pair_id and
                another style, as far as there are so many; rounded up to whole couples.
            singles: identities of which only a single item can be drawn are left out (``drop``), or give this item
                ``num_items`` times (``repeat``).
            drop_last: leave out the identities that do not fill a batch on every rank. Otherwise all identities are
                spread evenly over the batches, some of which have fewer than ``num_identities``, but no two differ by
                more than one.
            seed: of all random choices.
            rank: number of this process among those that train together.
            world_size: number of these processes. Each gets other identities, and the same number of batches.

        Raises:
            UsageError: an argument is out of range, or there are fewer identities than a batch of each process needs.
        """
        _check(num_identities, num_items, sides, hard, singles, seed, rank, world_size)
        self.num_identities = num_identities
        self.num_items = num_items
        self.hard = hard
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.epoch = 0
        rows = items if isinstance(items, pa.Table) else getattr(items, "rows", None)
        if not isinstance(rows, pa.Table):
            raise UsageError(f"IdentitySampler: expected a dataset of items or a table of Arrow, found {items!r}.")
        missing = [name for name in _GROUPING if name not in rows.column_names]
        if missing:
            raise UsageError(f"IdentitySampler: the rows lack {', '.join(missing)}; give a dataset of items.")
        self.identities = group_by_identity(rows, sides, drop_singles=singles == "drop")
        number = len(self.identities)
        if number < num_identities * world_size:
            raise UsageError(_too_few(number, num_identities, world_size, sides, self.identities.notices))
        per_round = num_identities * world_size
        self._num_rounds = number // per_round if drop_last else -(-number // per_round)
        self._num_drawn = self._num_rounds * per_round if drop_last else number
        self._couples = _couples(self.identities)
        self.notices = (*self.identities.notices, *self._notices())
        self._settings = {
            "items": rows.num_rows, "items_checksum": checksum_of(rows, _GROUPING), "identities": number,
            "num_identities": num_identities,
            "num_items": num_items, "sides": sides, "hard": hard, "singles": singles, "drop_last": drop_last,
            "seed": seed, "world_size": world_size,
        }  # fmt: skip
        self._position = 0
        self._pass: EpochBatches | None = None

    def __len__(self) -> int:
        """Return the number of batches of an epoch, the same on every rank."""
        return self._num_rounds

    def __iter__(self) -> EpochBatches:
        """Return the batches of the epoch that was set, or else of the one after the last."""
        # A DataLoader with workers asks for two iterators and takes batches of the second alone.
        if self._has_begun():
            self.set_epoch(self.epoch + 1)
        self._pass = EpochBatches(self, self.epoch, self._position)
        return self._pass

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch of the next pass. A position that was loaded for the same epoch is kept."""
        check_epoch(epoch)
        if epoch != self.epoch or self._has_begun():
            self._position = 0
        self.epoch = epoch
        self._pass = None

    def _has_begun(self) -> bool:
        """Return whether a batch of the epoch was asked for."""
        return self._pass is not None and self._pass.has_begun

    def state_dict(self, batches: int | None = None) -> dict[str, Any]:
        """Return the position in the epoch, to resume there.

        Args:
            batches: batches of this epoch that training has taken, counted from its start. A DataLoader with workers
                draws batches ahead, so its loop has to give the number. By default the batches drawn so far.
        """
        if batches is None:
            batches = self._position if self._pass is None else self._pass.position
        return {"epoch": self.epoch, "batches": batches, "settings": dict(self._settings)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue at a position: the next pass gives the remaining batches of its epoch.

        Raises:
            UsageError: the position is of a sampler with other items or other settings.
        """
        epoch, batches = self._checked_position(state)
        self.set_epoch(epoch)
        self._position = batches

    def continue_with(self, batches: EpochBatches) -> None:
        """Take an iterator as the running pass."""
        self._pass = batches

    def draw_epoch(self, epoch: int) -> list[Ints]:
        """Return the items of each batch of an epoch of this rank, each ``(identities, num_items)``."""
        batches = self._identity_batches(epoch)[self.rank :: self.world_size]
        mine = np.concatenate(batches)
        drawn = [
            side.draw(mine, share, self.seed, epoch, _ITEMS + side_no)
            for side_no, (side, share) in enumerate(zip(self.identities.sides, self._shares(), strict=True))
        ]
        ends = np.cumsum([len(batch) for batch in batches])[:-1]
        return np.split(np.concatenate(drawn, axis=1), ends)

    def _shares(self) -> Ints:
        """Return the number of items of an identity that each side gives; the first gives the odd item."""
        return _even_shares(self.num_items, len(self.identities.sides))[::-1]

    def _identity_batches(self, epoch: int) -> list[Ints]:
        """Return the identities of each batch of all ranks: first the hard couples, then the others."""
        num_batches = self._num_rounds * self.world_size
        chosen = self._random_couples(epoch)[: self._num_couples() * num_batches]
        is_free = np.ones(len(self.identities), dtype=bool)
        is_free[chosen] = False
        order = random_order(len(self.identities), self.seed, epoch, _IDENTITIES)
        singly = order[is_free[order]][: self._num_drawn - chosen.size]
        sizes = _even_shares(self._num_drawn, num_batches)
        couples = np.split(chosen, np.cumsum(_even_shares(len(chosen), num_batches))[:-1])
        missing = sizes - [couple.size for couple in couples]
        fill = np.split(singly, np.cumsum(missing)[:-1])
        return [np.concatenate([couple.ravel(), rest]) for couple, rest in zip(couples, fill, strict=True)]

    def _num_couples(self) -> int:
        """Return the number of couples that a batch should have."""
        # Without the rounding, 0.1 of 20 identities would be 2.0000000000000004, and two couples.
        wanted = int(np.ceil(round(self.num_identities * self.hard, 9) / 2))
        smallest = self._num_drawn // (self._num_rounds * self.world_size)
        return min(wanted, smallest // 2)

    def _random_couples(self, epoch: int) -> Ints:
        """Return couples of identities of the same pair_id, ``(couples, 2)``, in random order and with random styles.

        An identity is in one couple at most.
        """
        first, pair = self._couples
        by_pair = np.lexsort((random_order(len(pair), self.seed, epoch, _STYLES), pair))
        couples = np.stack([by_pair[first], by_pair[first + 1]], axis=1)
        shuffled: Ints = couples[random_order(len(couples), self.seed, epoch, _COUPLES)]
        return shuffled

    def _notices(self) -> Iterator[str]:
        """Yield a sentence about repeated items, and about hard couples that are too few."""
        short = np.zeros(len(self.identities), dtype=bool)
        for side, share in zip(self.identities.sides, self._shares(), strict=True):
            short |= side.counts < share
        if short.any():
            noun = sentence(int(short.sum()), "identities", "have fewer items than a batch takes of them")
            yield f"{noun}: their items are repeated within the batch."
        wanted = self._num_couples() * self._num_rounds * self.world_size
        if len(self._couples[0]) < wanted:
            couples = plural(len(self._couples[0]), "couple")
            yield f"hard={self.hard} needs {wanted:,} couples of identities of a pair_id; there are {couples}."

    def _checked_position(self, state: Mapping[str, Any]) -> tuple[int, int]:
        """Return epoch and position of a state that fits this sampler."""
        check_state(state, self._settings, "another sampler", ("epoch", "batches"))
        epoch, batches = state["epoch"], state["batches"]
        if not 0 <= batches <= len(self):
            raise UsageError(f"The state has taken {batches} batches; an epoch has {len(self)}.")
        return epoch, batches


class EpochBatches(Iterator[list[int]]):
    """The batches of an epoch from a position on; StatefulDataLoader of torchdata saves and loads the position.

    Attributes:
        position: number of batches of the epoch that were taken.
        has_begun: whether a batch was asked for.
    """

    def __init__(self, sampler: IdentitySampler, epoch: int, position: int) -> None:
        """Begin at a position of an epoch; its batches are drawn when the first is asked for."""
        self._sampler = sampler
        self._epoch = epoch
        self._batches: list[Ints] | None = None
        self.position = position
        self.has_begun = False

    def __next__(self) -> list[int]:
        """Return the items of the next batch."""
        self.has_begun = True
        if self.position >= len(self._sampler):
            raise StopIteration
        if self._batches is None:
            self._batches = self._sampler.draw_epoch(self._epoch)
        batch: list[int] = self._batches[self.position].ravel().tolist()
        self.position += 1
        return batch

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the sampler at this position."""
        return self._sampler.state_dict(self.position) | {"epoch": self._epoch}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue at a position of this or another epoch."""
        self._sampler.load_state_dict(state)
        resumed = iter(self._sampler)
        self.__dict__.update(resumed.__dict__)
        self._sampler.continue_with(self)


def _couples(identities: Identities) -> tuple[Ints, Ints]:
    """Return the place of the first identity of each couple, and the pair of each identity.

    Identities of a pair are neighbours: the first and second make a couple, the third and fourth, and so on.
    """
    pair = identities.pairs
    _, starts, inverse = np.unique(pair, return_index=True, return_inverse=True)
    place = np.arange(len(pair)) - starts[inverse]
    has_next = np.zeros(len(pair), dtype=bool)
    has_next[:-1] = pair[1:] == pair[:-1]
    return np.flatnonzero((place % 2 == 0) & has_next), pair


def _even_shares(number: int, parts: int) -> npt.NDArray[np.intp]:
    """Return sizes of parts that differ by 1 at most."""
    return np.diff(np.arange(parts + 1) * number // parts)


def _check(
    num_identities: int, num_items: int, sides: str, hard: float, singles: str, seed: int, rank: int, world_size: int
) -> None:
    """Refuse arguments out of range, all in a single message."""
    numbers = {
        "num_identities": num_identities, "num_items": num_items, "seed": seed, "rank": rank,
        "world_size": world_size,
    }  # fmt: skip
    not_whole = [
        f"{name} is {value!r}; expected a whole number" for name, value in numbers.items() if not is_whole(value)
    ]
    if not_whole:
        raise UsageError(f"IdentitySampler: {'; '.join(not_whole)}.")
    problems = []
    for name in ("num_identities", "num_items"):
        if numbers[name] < 2:
            problems.append(f"{name} is {numbers[name]}; expected 2 or more")
    if num_items > _MOST_ITEMS:
        problems.append(f"num_items is {num_items:,}; expected at most {_MOST_ITEMS:,}")
    if sides not in SIDES:
        problems.append(f"sides is {sides!r}; expected one of {', '.join(SIDES)}")
    if not isinstance(hard, Real) or not 0 <= hard <= 1:
        problems.append(f"hard is {hard!r}; expected a share from 0 to 1")
    if singles not in SINGLES:
        problems.append(f"singles is {singles!r}; expected one of {', '.join(SINGLES)}")
    if seed < 0:
        problems.append(f"seed is {seed}; expected 0 or more")
    if not 0 <= rank < world_size:
        problems.append(f"rank is {rank} and world_size {world_size}; expected 0 <= rank < world_size")
    if problems:
        raise UsageError(f"IdentitySampler: {'; '.join(problems)}.")


def _too_few(number: int, num_identities: int, world_size: int, sides: str, notices: tuple[str, ...]) -> str:
    """Return the message for a dataset with fewer identities than a batch of each process takes."""
    processes = f" on each of {world_size} processes" if world_size > 1 else ""
    remedy = " Take fewer, a larger subset, or sides='any'." if sides != "any" else " Take fewer, or a larger subset."
    left_out = f" {' '.join(notices)}" if notices else ""
    return (
        f"A batch takes num_identities={num_identities}{processes}, but the items have "
        f"{plural(number, 'identity', 'identities')}.{left_out}{remedy}"
    )
