"""Who sells what and who wears it: the listings of a split, their styles, and the pictures taken of them.

A listing is what a ``pair_id`` stands for: one product of a shop in one or several styles (same cut, other
cloth) with the shop's own photos and the customers'. A style above 0 names an identity; what is only worn
along has style 0.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from registry.sample.details import TRIMS_OF
from registry.sample.fabrics import Fabric, pick_fabric
from registry.sample.garments import Garment
from registry.sample.pose import Cut
from registry.sample.templates import BOTTOMS, DRESSES, OUTWEAR

#: How often a category is the product of a listing once every category has been one.
_POPULARITY: Final = {1: 18, 2: 10, 3: 3, 4: 8, 5: 6, 6: 4, 7: 10, 8: 14, 9: 9, 10: 6, 11: 5, 12: 7, 13: 4}
#: (style numbers, weight): mostly 1, 2, ... with a gap now and then.
_STYLE_NUMBERS: Final = (((1,), 40), ((1, 2), 28), ((1, 2, 3), 12), ((1, 3), 8), ((2,), 7), ((2, 5), 3))


@dataclass(frozen=True, slots=True)
class Worn:
    """One garment in a picture and the style number it goes by there."""

    garment: Garment
    style: int


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture to take.

    Attributes:
        pair_id: the listing it belongs to.
        source: "user" or "shop".
        outfits: what each body (or each laid-out set) shows; the first garment of each is the product.
        laid: shown without a person.
        seed: makes its pose, place and light.
    """

    pair_id: int
    source: str
    outfits: tuple[tuple[Worn, ...], ...]
    laid: bool
    seed: str


def category_deck(rng: random.Random) -> Iterator[int]:
    """Yield product categories: first all 13 in random order, then by popularity."""
    first = list(_POPULARITY)
    rng.shuffle(first)
    yield from first
    while True:
        yield rng.choices(list(_POPULARITY), list(_POPULARITY.values()))[0]


def plan_split(split: str, count: int, seed: int, deck: Iterator[int]) -> list[Picture]:
    """Return ``count`` pictures of a split, listing by listing, a user's before a shop's within each."""
    pictures: list[Picture] = []
    pair_id = 0
    while len(pictures) < count:
        pair_id += 1
        rng = random.Random(f"{seed}:{split}:listing:{pair_id}")
        if pair_id > 2 and rng.random() < 0.08:
            # Some numbers were never given out.
            continue
        left = count - len(pictures)
        users, shops = rng.choice((1, 1, 2, 2, 3)), rng.choice((1, 1, 2, 2))
        if left < users + shops + 2:
            users, shops = left - left // 2, left // 2
        pictures += _Listing(rng, pair_id, next(deck)).pictures(f"{seed}:{split}", users, shops)
    return pictures


class _Listing:
    """One product of a shop."""

    def __init__(self, rng: random.Random, pair_id: int, category_id: int) -> None:
        self.rng = rng
        self.pair_id = pair_id
        self.category_id = category_id
        self.cut = random_cut(rng, category_id)
        self.trims = random_trims(rng, category_id)
        options, weights = zip(*_STYLE_NUMBERS, strict=True)
        self.numbers: tuple[int, ...] = rng.choices(options, weights)[0]
        self.fabrics: dict[int, Fabric] = {}
        for number in self.numbers:
            self.fabrics[number] = pick_fabric(rng, category_id, list(self.fabrics.values()))
        # A set sells a top and a bottom of the same cloth under one style.
        self.set_category = 0
        if category_id in (1, 2, 5, 6) and rng.random() < 0.12:
            self.set_category = rng.choice((7, 9))
            self.set_cut = random_cut(rng, self.set_category)

    def pictures(self, seed: str, users: int, shops: int) -> list[Picture]:
        """Return the listing's pictures."""
        shown: dict[str, list[list[int]]] = {"user": [], "shop": []}
        for source, number in (("user", users), ("shop", shops)):
            for k in range(number):
                style = self.numbers[0] if k == 0 else self.rng.choice(self.numbers)
                shown[source].append([style])
        if len(self.numbers) > 1 and self.rng.random() < 0.4 and shops:
            # The shop shows two styles side by side.
            shown["shop"][-1] = self.rng.sample(self.numbers, 2)
        named = self._named(shown)
        pictures = []
        # The shop styles all its photos alike; customers have clothes of their own.
        wardrobes = {"user": [self._worn_along(), self._worn_along()], "shop": [self._worn_along()]}
        if wardrobes["shop"][0] and self.rng.random() < 0.45:
            # What the shop shows with its product is for sale as well, and customers bought both.
            first, *others = wardrobes["shop"][0]
            bundle = (Worn(first.garment, self.numbers[-1] + 1), *others)
            wardrobes = {"user": [bundle, bundle], "shop": [bundle]}
        for source in ("user", "shop"):
            for k, styles in enumerate(shown[source]):
                along = wardrobes[source][k % len(wardrobes[source])]
                outfits = []
                for style in styles:
                    product = Worn(self._garment(style), style if style in named else 0)
                    outfits.append((product, *self._set_part(style, named), *along))
                laid = self.rng.random() < 0.15
                if laid:
                    outfits = [outfit[:1] for outfit in outfits]
                pictures.append(
                    Picture(self.pair_id, source, tuple(outfits), laid, f"{seed}:{self.pair_id}:{source}:{k}")
                )
        return pictures

    def _named(self, shown: dict[str, list[list[int]]]) -> set[int]:
        """Return the styles that keep their number: those on both sides, and an orphan now and then."""
        sides = [{style for styles in shown[source] for style in styles} for source in ("user", "shop")]
        named = sides[0] & sides[1]
        for style in sorted(sides[0] ^ sides[1]):
            if self.rng.random() < 0.3:
                named.add(style)
        return named

    def _garment(self, style: int) -> Garment:
        return Garment(self.category_id, self.cut, self.fabrics[style], self.trims)

    def _set_part(self, style: int, named: set[int]) -> tuple[Worn, ...]:
        if not self.set_category:
            return ()
        garment = Garment(self.set_category, self.set_cut, self.fabrics[style], frozenset())
        return (Worn(garment, style if style in named else 0),)

    def _worn_along(self) -> tuple[Worn, ...]:
        """Return what completes the outfit."""
        rng = self.rng
        wanted: list[int] = []
        if self.category_id in DRESSES:
            if rng.random() < 0.22:
                wanted.append(rng.choice((3, 4, 4)))
        elif self.category_id in BOTTOMS:
            wanted.append(rng.choice((1, 1, 1, 2, 2, 5, 6)))
            if rng.random() < 0.15:
                wanted.append(4)
        else:
            if self.category_id in OUTWEAR:
                wanted.append(rng.choice((1, 1, 5, 5, 6)))
            if not self.set_category:
                wanted.append(rng.choice((7, 8, 8, 8, 9, 9)))
            if self.category_id not in OUTWEAR and rng.random() < 0.12:
                wanted.append(rng.choice((3, 4, 4)))
        worn = []
        avoid = list(self.fabrics.values())
        for category_id in wanted:
            fabric = pick_fabric(rng, category_id, avoid)
            if fabric.pattern not in ("solid", "denim", "knit") and rng.random() < 0.7:
                # Two bold patterns in one outfit are rare.
                fabric = Fabric("solid", fabric.base, fabric.accent, fabric.trim, 1.0, fabric.seed)
            worn.append(
                Worn(
                    Garment(category_id, random_cut(rng, category_id), fabric, random_trims(rng, category_id)),
                    0,
                )
            )
        return tuple(worn)


def random_trims(rng: random.Random, category_id: int) -> frozenset[str]:
    """Return the details of a product."""
    options = sorted(set(TRIMS_OF[category_id]))
    chosen = {rng.choice(TRIMS_OF[category_id])} if rng.random() < 0.8 else set()
    if rng.random() < 0.3:
        chosen.add(rng.choice(options))
    return frozenset(chosen)


def random_cut(rng: random.Random, category_id: int) -> Cut:
    """Return the cut of a product."""
    if category_id == 8:
        length, flare, ease = rng.choice(
            ((1.0, 0.0, 0.0), (1.0, -0.12, -0.10), (1.0, 0.45, 0.08), (0.82, 0.1, 0.05), (0.9, -0.05, 0.0))
        )
        return Cut(length=length, flare=flare, ease=ease)
    if category_id == 7:
        return Cut(length=rng.uniform(0.55, 1.45), flare=rng.uniform(-0.08, 0.12), ease=rng.uniform(0.0, 0.10))
    if category_id == 9:
        length = rng.choice((0.75, 0.9, 1.05, 1.35, 1.75))
        return Cut(length=length, flare=rng.choice((-0.22, -0.05, 0.15, 0.4)) if length > 0.8 else 0.1)
    if category_id in DRESSES:
        length = rng.choice((0.85, 1.0, 1.15, 1.45))
        return Cut(
            length, rng.choice((-0.2, 0.0, 0.15, 0.35)), rng.uniform(0.0, 0.05), rng.uniform(0.9, 1.7),
            rng.uniform(0.75, 1.25),
        )  # fmt: skip
    if category_id in OUTWEAR:
        return Cut(
            rng.choice((0.85, 1.0, 1.0, 1.25, 1.7)), rng.uniform(0.0, 0.15), rng.uniform(0.04, 0.12), 1.0,
            rng.uniform(0.9, 1.3), rng.choice((0.003, 0.014, 0.024, 0.034)),
        )  # fmt: skip
    return Cut(
        rng.choice((0.72, 0.95, 1.0, 1.1)), rng.uniform(-0.04, 0.14), rng.uniform(0.0, 0.12),
        rng.uniform(0.9, 1.6), rng.uniform(0.8, 1.3),
    )  # fmt: skip
