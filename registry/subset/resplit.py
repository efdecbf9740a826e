"""Division of groups of images into new parts (such as train, val and test) without leaks.

A group holds the images of a (split, pair_id), which show the same clothes. No group is ever cut, so no identity is in
two parts. Pure Python on counts of images and items; nothing here does I/O.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from registry.dataset.deepfashion2 import CATEGORIES
from registry.errors import UsageError

#: (split, pair_id), or (split, -image_id) of an image without a pair_id.
Key = tuple[str, int]

_EXAMPLE: Final = "train=0.8,val=0.1,test=0.1"
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
#: The columns of :func:`balance` that summaries show.
BALANCE: Final = ("part", "fraction", "images_share", "items_share", "worst_deviation", "worst_of")
#: Passes over all groups with stratify: the first places each group, the others place it again among filled parts. On
#: train the second moves some 20 to 80 groups of 14,555, the third fewer.
_PASSES: Final = 3
#: Weight of the excess of a part over its wanted amount. Without it, a large group takes the room of many
#: small ones in a part of 1 %. On full-size and on skewed populations 30 left smaller deviations than 0, 3 and 10.
_EXCESS: Final = 30


@dataclass(frozen=True)
class Resplit:
    """A division of groups of images into parts.

    Attributes:
        fractions: (name, fraction of the whole) of every part, in order. The order matters to the result.
        seed: another seed divides otherwise.
        stratify: balance images and categories between the parts; otherwise a hash of each group alone decides.

    Raises:
        UsageError: no part, a name that cannot be one or occurs twice (in any case, as parts become
            file names), a fraction that is not above 0, or fractions that do not sum to 1.
    """

    fractions: tuple[tuple[str, float], ...]
    seed: int = 0
    stratify: bool = False

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for name, fraction in self.fractions:
            if not _NAME.fullmatch(name):
                raise UsageError(
                    f"{name!r} cannot name a part: expected letters, digits, _ and -, "
                    "and a letter or digit at the beginning."
                )
            if name.casefold() in seen:
                raise UsageError(f"The part {name!r} is named twice: expected every name once, in any case.")
            seen.add(name.casefold())
            if not (math.isfinite(fraction) and fraction > 0):
                raise UsageError(f"The part {name!r} has the fraction {fraction:g}: expected a number above 0.")
        if not self.fractions:
            raise UsageError(f"A division has at least one part: expected such as {_EXAMPLE}.")
        total = math.fsum(fraction for _, fraction in self.fractions)
        if abs(total - 1) > 1e-9:
            raise UsageError(f"The fractions of {self.text!r} sum to {total:.12g}: expected 1, as in {_EXAMPLE}.")

    @classmethod
    def parse(cls, text: str, seed: int = 0, stratify: bool = False) -> Resplit:
        """Return the division that a text such as ``train=0.8,val=0.1,test=0.1`` names.

        Raises:
            UsageError: the text cannot be read, or names no division (see the class).
        """
        fractions = []
        for part in text.split(","):
            name, _, number = part.partition("=")
            try:
                fractions.append((name.strip(), float(number)))
            except ValueError:
                raise UsageError(
                    f"Cannot read {part.strip()!r} in {text!r}: expected NAME=FRACTION, as in {_EXAMPLE}."
                ) from None
        return cls(tuple(fractions), seed, stratify)

    @property
    def text(self) -> str:
        """The fractions as canonical text that :meth:`parse` reads: no spaces, shortest numbers."""
        return ",".join(f"{name}={fraction!r}" for name, fraction in self.fractions)

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Group:
    """Images that stay together.

    Attributes:
        key: see :data:`Key`.
        num_images: number of its images.
        counts: number of its items of every category, in the order of :data:`registry.dataset.deepfashion2.CATEGORIES`.
    """

    key: Key
    num_images: int
    counts: tuple[int, ...]


def assign(groups: Sequence[Group], resplit: Resplit) -> dict[Key, str]:
    """Return the part of every group, by key, in the order of the groups.

    The order of the groups does not matter. Without ``stratify`` the other groups do not either: a group keeps its
    part when data is added or filtered. With ``stratify``, every part holds its fraction of the images and
    of every category's items as nearly as uncut groups allow.

    Args:
        groups: groups with different keys.
        resplit: the division.
    """
    assigned = _balanced(groups, resplit) if resplit.stratify else _hashed(groups, resplit)
    return {group.key: assigned[group.key] for group in groups}


def balance(groups: Sequence[Group], assigned: Mapping[Key, str], resplit: Resplit) -> list[dict[str, Any]]:
    """Return the shares of each part beside its wanted fraction, a row a part, in the order of the parts.

    Returns:
        Rows of ``part``, ``fraction`` (wanted), ``num_groups``, ``num_images``, ``images_share``, ``num_items``,
        ``items_share``, ``category_shares`` (category name -> share), ``worst_deviation`` (the largest difference
        between the fraction and a share of images or of a category) and ``worst_of`` (``images`` or that category's
        name). A share is a fraction of all groups together; None where they have none.
    """
    totals = _totals(groups)
    held: dict[str, list[Group]] = {name: [] for name, _ in resplit.fractions}
    for group in groups:
        held[assigned[group.key]].append(group)
    rows = []
    for name, fraction in resplit.fractions:
        sums = _totals(held[name])
        shares = [_share(part, whole) for part, whole in zip(sums, totals, strict=True)]
        share_of = dict(zip(["images", *(category.name for category in CATEGORIES)], shares, strict=True))
        deviations = {name: abs(share - fraction) for name, share in share_of.items() if share is not None}
        worst = max(deviations, key=deviations.__getitem__, default=None)
        rows.append(
            {
                "part": name,
                "fraction": fraction,
                "num_groups": len(held[name]),
                "num_images": sums[0],
                "images_share": share_of.pop("images"),
                "num_items": sum(sums[1:]),
                "items_share": _share(sum(sums[1:]), sum(totals[1:])),
                "category_shares": share_of,
                "worst_deviation": None if worst is None else deviations[worst],
                "worst_of": worst,
            }
        )
    return rows


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _totals(groups: Iterable[Group]) -> list[int]:
    """Return the images and the items of every category of all groups together."""
    totals = [0] * (1 + len(CATEGORIES))
    for group in groups:
        for place, amount in enumerate((group.num_images, *group.counts)):
            totals[place] += amount
    return totals


def _digest(seed: int, key: Key) -> int:
    """Return 48 bits that follow from seed and key alone, on every machine and version of Python."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{key[0]}/{key[1]}".encode()).digest()[:6])


def _hashed(groups: Sequence[Group], resplit: Resplit) -> dict[Key, str]:
    bounds = []
    bound = 0.0
    for name, fraction in resplit.fractions:
        bound += fraction
        bounds.append((name, bound * 2**48))
    last = resplit.fractions[-1][0]  # where rounding leaves the last bound below 1
    assigned = {}
    for group in groups:
        digest = _digest(resplit.seed, group.key)
        assigned[group.key] = next((name for name, bound in bounds if digest < bound), last)
    return assigned


class _Part:
    """A part that is being filled.

    Places in the lists: 0 images, then the items of every category.
    """

    def __init__(self, name: str, fraction: float, totals: Sequence[int]) -> None:
        self.name = name
        self.wanted = [fraction * total for total in totals]
        # A difference counts by its share of all images, or of the category, so that rare categories weigh as much
        # as frequent ones; and by the part's size, so that all parts fill evenly.
        self.weights = [1 / (fraction * total * total) if total else 0.0 for total in totals]
        self.held = [0] * len(totals)

    def cost(self, amounts: Sequence[tuple[int, int]]) -> float:
        """Return the growth of the weighted sum of squares of amounts and excesses if a group is added.

        Args:
            amounts: (place, amount above 0) of a group.
        """
        cost = 0.0  # added up in a loop, because sum() rounds otherwise from Python 3.12 on
        for place, amount in amounts:
            held = self.held[place]
            growth: float = amount * (2 * held + amount)
            excess = held + amount - self.wanted[place]
            if excess > 0:
                growth += _EXCESS * (excess * excess if excess < amount else amount * (2 * excess - amount))
            cost += self.weights[place] * growth
        return cost

    def add(self, amounts: Sequence[tuple[int, int]]) -> None:
        """Put a group in."""
        for place, amount in amounts:
            self.held[place] += amount

    def remove(self, amounts: Sequence[tuple[int, int]]) -> None:
        """Take a group out."""
        for place, amount in amounts:
            self.held[place] -= amount


def _balanced(groups: Sequence[Group], resplit: Resplit) -> dict[Key, str]:
    """Place every group where it costs least; groups with rare categories first, of them those with most items."""
    totals = _totals(groups)
    parts = [_Part(name, fraction, totals) for name, fraction in resplit.fractions]
    waiting = sorted((_turn(group, totals, resplit.seed), group.key, _amounts(group)) for group in groups)
    placed: dict[Key, _Part] = {}
    for _ in range(_PASSES):
        for _, key, amounts in waiting:
            if key in placed:
                placed[key].remove(amounts)
            costs = [part.cost(amounts) for part in parts]
            placed[key] = parts[costs.index(min(costs))]
            placed[key].add(amounts)
    return {key: part.name for key, part in placed.items()}


def _amounts(group: Group) -> list[tuple[int, int]]:
    """Return (place, amount) for the images and each category of a group, places as in :class:`_Part`."""
    return [(place, amount) for place, amount in enumerate((group.num_images, *group.counts)) if amount]


def _turn(group: Group, totals: Sequence[int], seed: int) -> tuple[int, int, int, int]:
    """Return the sort key of a group: total of its rarest category, number of its items, all its items, a hash."""
    total, amount = min(((totals[place], -amount) for place, amount in _amounts(group)), default=(0, 0))
    return total, amount, -sum(group.counts), _digest(seed, group.key)
