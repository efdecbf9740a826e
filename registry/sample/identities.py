"""The photos of a split: listings, their styles and the garments in each photo.

A listing is the group of photos with one ``pair_id``: user and shop photos of a product, which comes in up to three
styles (same cut, different fabric). A style above 0 makes an identity; the other garments in the photos have style 0.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from registry.sample.categories import (
    BOTTOMS,
    DRESSES,
    LONG_SLEEVE_DRESS,
    LONG_SLEEVE_OUTWEAR,
    LONG_SLEEVE_TOP,
    OUTWEAR,
    SHORT_SLEEVE_DRESS,
    SHORT_SLEEVE_OUTWEAR,
    SHORT_SLEEVE_TOP,
    SHORTS,
    SKIRT,
    SLING,
    SLING_DRESS,
    TOPS,
    TROUSERS,
    VEST,
    VEST_DRESS,
)
from registry.sample.details import TRIMS_OF
from registry.sample.fabrics import Fabric, pick_fabric
from registry.sample.garments import Garment
from registry.sample.pose import Cut

#: Relative frequency of the categories among the products of listings.
_POPULARITY: Final = {
    SHORT_SLEEVE_TOP: 18, LONG_SLEEVE_TOP: 10, SHORT_SLEEVE_OUTWEAR: 3, LONG_SLEEVE_OUTWEAR: 8, VEST: 6, SLING: 4,
    SHORTS: 10, TROUSERS: 14, SKIRT: 9, SHORT_SLEEVE_DRESS: 6, LONG_SLEEVE_DRESS: 5, VEST_DRESS: 7, SLING_DRESS: 4,
}  # fmt: skip
#: (styles of a listing, weight). As in the release, the numbers may have gaps.
_STYLES: Final = (((1,), 40), ((1, 2), 28), ((1, 2, 3), 12), ((1, 3), 8), ((2,), 7), ((2, 5), 3))


@dataclass(frozen=True, slots=True)
class StyledGarment:
    """A garment with the style of its annotation.

    Attributes:
        garment: the garment.
        style: 0 if it belongs to no identity.
    """

    garment: Garment
    style: int


@dataclass(frozen=True, slots=True)
class PhotoPlan:
    """A photo to draw.

    Attributes:
        pair_id: listing of the photo.
        source: "user" or "shop".
        outfits: garments of each figure; the first garment of an outfit is the product.
        is_worn: True for clothes on a person, False for clothes laid flat or on a hanger.
        seed: seed of pose, place and light.
    """

    pair_id: int
    source: str
    outfits: tuple[tuple[StyledGarment, ...], ...]
    is_worn: bool
    seed: str


def product_categories(rng: random.Random) -> Iterator[int]:
    """Yield category ids without end: first all 13 in random order, then at random by popularity."""
    category_ids = list(_POPULARITY)
    rng.shuffle(category_ids)
    yield from category_ids
    while True:
        yield rng.choices(list(_POPULARITY), list(_POPULARITY.values()))[0]


def plan_split(split: str, count: int, seed: int, categories: Iterator[int]) -> list[PhotoPlan]:
    """Return ``count`` photos of a split by pair_id, user photos before shop photos.

    Args:
        split: name of the split.
        count: number of photos.
        seed: seed of the sample.
        categories: yields the category of each listing's product.
    """
    plans: list[PhotoPlan] = []
    pair_id = 0
    while len(plans) < count:
        pair_id += 1
        rng = random.Random(f"{seed}:{split}:listing:{pair_id}")
        if pair_id > 2 and rng.random() < 0.08:
            # pair_ids have gaps, as in the release.
            continue
        remaining = count - len(plans)
        num_user, num_shop = rng.choice((1, 1, 2, 2, 3)), rng.choice((1, 1, 2, 2))
        if remaining < num_user + num_shop + 2:
            num_user, num_shop = remaining - remaining // 2, remaining // 2
        plans += _Listing(rng, pair_id, next(categories)).plan_photos(f"{seed}:{split}", num_user, num_shop)
    return plans


class _Listing:
    """A product of a shop in its styles, with its photos."""

    def __init__(self, rng: random.Random, pair_id: int, category_id: int) -> None:
        self.rng = rng
        self.pair_id = pair_id
        self.category_id = category_id
        self.cut = random_cut(rng, category_id)
        self.trims = random_trims(rng, category_id)
        options, weights = zip(*_STYLES, strict=True)
        self.styles: tuple[int, ...] = rng.choices(options, weights)[0]
        self.fabrics: dict[int, Fabric] = {}
        for style in self.styles:
            self.fabrics[style] = pick_fabric(rng, category_id, list(self.fabrics.values()))
        # Some listings sell a set: a top and a bottom of the same fabric and style.
        self.set_category = 0
        if category_id in TOPS and rng.random() < 0.12:
            self.set_category = rng.choice((SHORTS, SKIRT))
            self.set_cut = random_cut(rng, self.set_category)

    def plan_photos(self, seed: str, num_user: int, num_shop: int) -> list[PhotoPlan]:
        """Return the photos of the listing, user photos first."""
        photo_styles = self._photo_styles(num_user, num_shop)
        labelled = self._labelled_styles(photo_styles)
        companions = self._companions()
        plans = []
        for source in ("user", "shop"):
            for k, styles in enumerate(photo_styles[source]):
                others_worn = companions[source][k % len(companions[source])]
                outfits = []
                for style in styles:
                    product = StyledGarment(self._product(style), style if style in labelled else 0)
                    outfits.append((product, *self._rest_of_set(style, labelled), *others_worn))
                is_worn = self.rng.random() >= 0.15
                if not is_worn:
                    outfits = [outfit[:1] for outfit in outfits]
                plan_seed = f"{seed}:{self.pair_id}:{source}:{k}"
                plans.append(PhotoPlan(self.pair_id, source, tuple(outfits), is_worn, plan_seed))
        return plans

    def _photo_styles(self, num_user: int, num_shop: int) -> dict[str, list[list[int]]]:
        """Return the styles shown in each photo, by source."""
        photo_styles: dict[str, list[list[int]]] = {"user": [], "shop": []}
        for source, num_photos in (("user", num_user), ("shop", num_shop)):
            for k in range(num_photos):
                style = self.styles[0] if k == 0 else self.rng.choice(self.styles)
                photo_styles[source].append([style])
        if len(self.styles) > 1 and self.rng.random() < 0.4 and num_shop:
            # The shop shows two styles side by side.
            photo_styles["shop"][-1] = self.rng.sample(self.styles, 2)
        return photo_styles

    def _labelled_styles(self, photo_styles: dict[str, list[list[int]]]) -> set[int]:
        """Return the styles that the annotations name: those of both sources, and 30 % of the others."""
        user, shop = ({style for styles in photo_styles[source] for style in styles} for source in ("user", "shop"))
        labelled = user & shop
        for style in sorted(user ^ shop):
            if self.rng.random() < 0.3:
                labelled.add(style)
        return labelled

    def _product(self, style: int) -> Garment:
        return Garment(self.category_id, self.cut, self.fabrics[style], self.trims)

    def _rest_of_set(self, style: int, labelled: set[int]) -> tuple[StyledGarment, ...]:
        """Return the bottom that is sold with a top as a set; empty for other listings."""
        if not self.set_category:
            return ()
        garment = Garment(self.set_category, self.set_cut, self.fabrics[style], frozenset())
        return (StyledGarment(garment, style if style in labelled else 0),)

    def _companions(self) -> dict[str, list[tuple[StyledGarment, ...]]]:
        """Return the garments worn with the product, by source: two choices for users, a single choice for the shop."""
        user = [self._random_companions(), self._random_companions()]
        shop = self._random_companions()
        if shop and self.rng.random() < 0.45:
            # The shop sells the first companion too, and the users bought both.
            bundle = (StyledGarment(shop[0].garment, self.styles[-1] + 1), *shop[1:])
            return {"user": [bundle, bundle], "shop": [bundle]}
        return {"user": user, "shop": [shop]}

    def _random_companions(self) -> tuple[StyledGarment, ...]:
        """Return garments that complete an outfit with the product; they belong to no identity."""
        rng = self.rng
        avoid = list(self.fabrics.values())
        companions = []
        for category_id in self._companion_categories():
            fabric = pick_fabric(rng, category_id, avoid)
            if fabric.pattern not in ("solid", "denim", "knit") and rng.random() < 0.7:
                # Few outfits combine two bold patterns.
                fabric = Fabric("solid", fabric.base, fabric.accent, fabric.trim, 1.0, fabric.seed)
            garment = Garment(category_id, random_cut(rng, category_id), fabric, random_trims(rng, category_id))
            companions.append(StyledGarment(garment, 0))
        return tuple(companions)

    def _companion_categories(self) -> list[int]:
        """Return the categories that complete an outfit: bottoms for a top, a top for a bottom, perhaps a jacket."""
        rng = self.rng
        jackets = (SHORT_SLEEVE_OUTWEAR, LONG_SLEEVE_OUTWEAR, LONG_SLEEVE_OUTWEAR)
        category_ids: list[int] = []
        if self.category_id in DRESSES:
            if rng.random() < 0.22:
                category_ids.append(rng.choice(jackets))
        elif self.category_id in BOTTOMS:
            short_sleeve_tops = (SHORT_SLEEVE_TOP, SHORT_SLEEVE_TOP, SHORT_SLEEVE_TOP)
            category_ids.append(rng.choice((*short_sleeve_tops, LONG_SLEEVE_TOP, LONG_SLEEVE_TOP, VEST, SLING)))
            if rng.random() < 0.15:
                category_ids.append(LONG_SLEEVE_OUTWEAR)
        else:
            if self.category_id in OUTWEAR:
                category_ids.append(rng.choice((SHORT_SLEEVE_TOP, SHORT_SLEEVE_TOP, VEST, VEST, SLING)))
            if not self.set_category:
                category_ids.append(rng.choice((SHORTS, TROUSERS, TROUSERS, TROUSERS, SKIRT, SKIRT)))
            if self.category_id not in OUTWEAR and rng.random() < 0.12:
                category_ids.append(rng.choice(jackets))
        return category_ids


def random_trims(rng: random.Random, category_id: int) -> frozenset[str]:
    """Return the trims of a product, see `registry.sample.details`."""
    options = sorted(set(TRIMS_OF[category_id]))
    chosen = {rng.choice(TRIMS_OF[category_id])} if rng.random() < 0.8 else set()
    if rng.random() < 0.3:
        chosen.add(rng.choice(options))
    return frozenset(chosen)


def random_cut(rng: random.Random, category_id: int) -> Cut:
    """Return the cut of a product, within the range of its category."""
    if category_id == TROUSERS:
        length, flare, ease = rng.choice(
            ((1.0, 0.0, 0.0), (1.0, -0.12, -0.10), (1.0, 0.45, 0.08), (0.82, 0.1, 0.05), (0.9, -0.05, 0.0))
        )
        return Cut(length=length, flare=flare, ease=ease)
    if category_id == SHORTS:
        return Cut(length=rng.uniform(0.55, 1.45), flare=rng.uniform(-0.08, 0.12), ease=rng.uniform(0.0, 0.10))
    if category_id == SKIRT:
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
