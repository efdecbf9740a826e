"""A synthetic release of the size of DeepFashion2, for benchmarks; never part of the repository.

Numbers of images and pair_ids, and the distributions of items per image, categories and styles, are those of the
released splits. Polygons are random: closed and of integers in train, open and of floats with 13 to 14 decimals in
validation, as in the release.

Run as ``python -m benchmarks.corpus DEST [--scale 0.1]``.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from registry.dataset.deepfashion2 import CATEGORIES, CATEGORY_BY_ID

#: Numbers of the released splits; ``user_share`` is the share of user images.
SPLITS = {
    "train": {"images": 191_961, "pair_ids": 14_555, "user_share": 0.268},
    "validation": {"images": 32_153, "pair_ids": 2_279, "user_share": 0.337},
}
#: Items of the released train split by category_id, by style, and images by number of items.
CATEGORY_WEIGHTS = [71645, 36064, 543, 13457, 16095, 1985, 36616, 55387, 30835, 17211, 7907, 17949, 6492]
STYLE_WEIGHTS = [94408, 130185, 57035, 16032, 7580, 2983, 1844, 722, 507, 292, 191, 100, 85, 51]
ITEMS_PER_IMAGE_WEIGHTS = [76107, 112530, 2296, 1018, 3, 6]
#: Different items per category; every item of the corpus is a copy of these with another style.
VARIANTS = 150


def item_text(rng: random.Random, split: str, category_id: int) -> str:
    """Return an item as JSON with ``%d`` as the style."""
    category = CATEGORY_BY_ID[category_id]
    cx, cy = rng.uniform(150, 350), rng.uniform(200, 400)
    rx, ry = rng.uniform(40, 150), rng.uniform(60, 200)

    def ring(size: int, *, whole: bool) -> list[float]:
        points: list[float] = []
        for step in range(size):
            angle = 2 * math.pi * step / size
            x, y = cx + rx * math.cos(angle), cy + ry * math.sin(angle)
            points += [round(x), round(y)] if whole else [x, y]
        return points + points[:2] if whole else points

    if split == "train":
        polygons = [ring(rng.randint(18, 50), whole=True)]
        polygons += [ring(rng.randint(5, 14), whole=True) for _ in range(rng.choice([0, 1, 1, 2, 3]))]
    else:
        polygons = [ring(rng.randint(24, 80), whole=False)]
    landmarks: list[int] = []
    for _ in range(category.num_landmarks):
        visible = rng.choice([0, 0, 0, 1, 2, 2, 2])
        landmarks += [rng.randint(0, 467), rng.randint(0, 623), visible] if visible else [0, 0, 0]
    item = {
        "segmentation": polygons,
        "scale": rng.randint(1, 3),
        "viewpoint": rng.randint(1, 3),
        "zoom_in": rng.randint(1, 3),
        "landmarks": landmarks,
        "style": -7,
        "bounding_box": [round(cx - rx), round(cy - ry), round(cx + rx), round(cy + ry)],
        "category_id": category_id,
        "occlusion": rng.randint(1, 3),
        "category_name": category.name,
    }
    return json.dumps(item).replace("-7", "%d", 1)


def annotations(split: str, seed: int, scale: float) -> Iterator[tuple[str, bytes]]:
    """Yield (file name, bytes) of the annotations of a split, in the order of the names."""
    facts = SPLITS[split]
    rng = random.Random(f"{split} {seed}")
    total = max(1, round(facts["images"] * scale))
    num_pair_ids = max(1, round(facts["pair_ids"] * scale))
    pool = {category.id: [item_text(rng, split, category.id) for _ in range(VARIANTS)] for category in CATEGORIES}
    ids = range(1, len(CATEGORIES) + 1)
    rows = []  # (pair_id, source)
    for number in range(total):
        rows.append((1 + number * num_pair_ids // total, "user" if rng.random() < facts["user_share"] else "shop"))
    # Train is sorted by pair_id, then user before shop; validation has all user images before all shop images.
    rows.sort(key=lambda row: (row[0], row[1] == "shop") if split == "train" else (row[1] == "shop", row[0]))
    for number, (pair_id, source) in enumerate(rows, start=1):
        num_items = rng.choices(range(1, 7), ITEMS_PER_IMAGE_WEIGHTS)[0]
        listing_rng = random.Random(f"{split} {seed} {pair_id}")
        listing_categories = listing_rng.choices(ids, CATEGORY_WEIGHTS, k=3)
        items = []
        for position in range(num_items):
            category_id = listing_categories[position] if position < 3 else rng.choice(ids)
            style = rng.choices(range(len(STYLE_WEIGHTS)), STYLE_WEIGHTS)[0]
            items.append(rng.choice(pool[category_id]) % style)
        first, *rest = items
        more = "".join(f'"item{k}": {text}, ' for k, text in enumerate(rest, start=2))
        body = f'{{{more}"source": "{source}", "pair_id": {pair_id}, "item1": {first}}}'
        yield f"{number:06d}.json", body.encode("ascii")


def write_split(dest: Path, split: str, seed: int = 0, scale: float = 1.0) -> None:
    """Write a split as the folder ``dest/split/annos`` and as ``dest/split.zip``, unless the zip exists."""
    folder = dest / split / "annos"
    archive = dest / f"{split}.zip"
    if archive.exists():
        return
    folder.mkdir(parents=True, exist_ok=True)
    partial = archive.with_suffix(".partial")
    with zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, data in annotations(split, seed, scale):
            with open(folder / name, "wb") as file:
                file.write(data)
            bundle.writestr(f"{split}/annos/{name}", data)
    os.replace(partial, archive)


def main() -> int:
    """Write the corpus to the folder on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dest", type=Path)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the full size")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    for split in SPLITS:
        write_split(options.dest, split, options.seed, options.scale)
    return 0


if __name__ == "__main__":
    sys.exit(main())
