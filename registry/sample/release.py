"""Writing the sample: the files of three splits and the retrieval files, in the release's layout."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from registry.dataset.deepfashion2 import CATEGORIES, NUM_LANDMARK_SLOTS, SPLITS
from registry.errors import StorageError, UsageError
from registry.sample.annotations import annotate, annotation_file
from registry.sample.garments import Wardrobe
from registry.sample.identities import Picture, category_deck, plan_split
from registry.sample.scenes import take
from registry.sample.summary import SampleSummary
from registry.storage.filesystems import reason
from registry.storage.replacement import entries, real_folder, recover, replacement

#: The fewest images that give each split a user's and a shop's picture.
MIN_IMAGES: Final = 6
#: From this size on the sample holds the release's rare oddities, each at least once.
_ODDITIES_FROM: Final = 100
_QUALITY: Final = 85


@dataclass(slots=True)
class _Written:
    """One image of a split after it was written."""

    stem: str
    size: tuple[int, int]
    picture: Picture
    items: dict[int, dict[str, Any]]


def split_sizes(num_images: int) -> dict[str, int]:
    """Return how many of ``num_images`` images each split gets: about 60, 25 and 15 %, two at least."""
    validation = max(2, round(num_images * 0.25))
    test = max(2, round(num_images * 0.15))
    return {"train": num_images - validation - test, "validation": validation, "test": test}


def write_release(
    dest: str | os.PathLike[str],
    num_images: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> SampleSummary:
    """Write the sample; see `registry.sample.write_sample`."""
    target = Path(dest)
    if num_images < MIN_IMAGES:
        raise UsageError(
            f"A sample needs at least {MIN_IMAGES} images, two for each of the three splits;"
            f" got {num_images}. Ask for {MIN_IMAGES} or more."
        )
    try:
        folder = real_folder(target, str(target))
        recover(folder)
        _check_empty(folder, target)  # before the parents of the folder are made
        with replacement(folder, SPLITS[0]) as new:
            _check_empty(folder, target)  # something may have been put there meanwhile
            summary = _write_all(new.unfinished, target, num_images, seed, progress)
            _check_empty(folder, target)
            paths = [path for path in new.unfinished.rglob("*") if path.is_file()]
            new.commit([path.relative_to(new.unfinished).as_posix() for path in paths])
        return summary
    except OSError as error:
        raise StorageError(f"Cannot write the sample to {target}: {reason(error)}.") from error


def _check_empty(folder: Path, target: Path) -> None:
    """Raise if there is anything in the folder.

    Args:
        folder: its real path.
        target: its path in the message.

    Raises:
        UsageError: it holds something.
    """
    if folder.is_dir() and entries(folder):
        raise UsageError(
            f"{target} exists and is not an empty folder; a sample never overwrites anything. "
            "Name a new folder or empty this one first."
        )


def _write_all(
    root: Path, target: Path, num_images: int, seed: int, progress: Callable[[int, int], None] | None
) -> SampleSummary:
    sizes = split_sizes(num_images)
    deck = category_deck(random.Random(f"{seed}:categories"))
    done = 0
    items: dict[str, int] = {}
    for split in SPLITS:
        pictures = _ordered(split, plan_split(split, sizes[split], seed, deck))
        wardrobe = Wardrobe()
        (root / split / "image").mkdir(parents=True)
        written = []
        for number, picture in enumerate(pictures, start=1):
            written.append(_write_image(root / split / "image", split, number, picture, wardrobe))
            done += 1
            if progress is not None:
                progress(done, num_images)
        if split == "train" and num_images >= _ODDITIES_FROM:
            _add_oddities(written)
        if split != "test":
            _write_annotations(root / split / "annos", written)
        _write_retrieval(root, split, written)
        items[split] = sum(len(image.items) for image in written) if split != "test" else 0
    return SampleSummary(target, sizes, items, seed)


def _ordered(split: str, pictures: list[Picture]) -> list[Picture]:
    """Return the pictures in file order: train listing by listing, the others all users' first."""
    if split == "train":
        return pictures
    return sorted(pictures, key=lambda picture: (picture.source != "user", picture.pair_id))


def _write_image(folder: Path, split: str, number: int, picture: Picture, wardrobe: Wardrobe) -> _Written:
    taken = take(picture, wardrobe)
    annotated = annotate(taken, split, picture.seed)
    while not annotated:
        # A close-up that missed the clothes is taken again.
        picture = replace(picture, seed=f"{picture.seed}:again")
        taken = take(picture, wardrobe)
        annotated = annotate(taken, split, picture.seed)
    stem = f"{number:06d}"
    taken.image.save(folder / f"{stem}.jpg", "JPEG", quality=_QUALITY)
    items = dict(enumerate(annotated, start=1)) if split != "test" else {}
    return _Written(stem, taken.image.size, picture, items)


def _add_oddities(written: list[_Written]) -> None:
    """Put in what the release's train split has a few times in 300,000 items."""
    along = [image for image in written if len(image.items) == 2 and image.items[2]["style"] == 0]
    along = along or [image for image in written if len(image.items) == 2]
    along.sort(key=lambda image: sum(1 for v in image.items[2]["landmarks"][2::3] if v))
    # A side item that nobody could place a landmark on: the one with the fewest.
    if along:
        bare = along[0].items[2]
        bare["landmarks"] = [0] * len(bare["landmarks"])
        bare["occlusion"] = 3
    # A box that was never drawn.
    empty = (along[1] if len(along) > 1 else written[-1]).items
    unboxed = empty[max(empty)]
    unboxed["bounding_box"] = [0, 0, 0, 0]
    unboxed["scale"] = 1
    # An item that was deleted after the next one had got its number.
    if len(along) > 2:
        along[2].items[3] = along[2].items.pop(2)


def _write_annotations(folder: Path, written: list[_Written]) -> None:
    folder.mkdir()
    for image in written:
        content = annotation_file(image.picture.source, image.picture.pair_id, image.items)
        _write_json(folder / f"{image.stem}.json", content)


def _write_retrieval(root: Path, split: str, written: list[_Written]) -> None:
    """Write the COCO-like image lists and, where there are labels, query and gallery."""
    if split == "train":
        return
    folder = root / f"json_for_{split}"
    folder.mkdir()
    short = "val" if split == "validation" else "test"
    for source, name in (("user", "consumer"), ("shop", "shop")):
        images = [image for image in written if image.picture.source == source]
        _write_json(folder / f"retrieval_{short}_{name}_information.json", _information(images))
    if split == "test":
        return
    query, gallery = [], []
    for image in written:
        for number in sorted(image.items):
            item = image.items[number]
            identity = {"style": item["style"], "pair_id": image.picture.pair_id}
            if image.picture.source == "shop":
                entry = {"gallery_image_id": int(image.stem), "bbox": item["bounding_box"], **identity}
                gallery.append(entry)
            elif item["style"] > 0:
                query.append(
                    {
                        "query_image_id": int(image.stem),
                        "bbox": item["bounding_box"],
                        "cls": item["category_id"],
                        **identity,
                    }
                )
    _write_json(folder / "val_query.json", query)
    _write_json(folder / "val_gallery.json", gallery)


def _information(images: list[_Written]) -> dict[str, Any]:
    keypoints = [str(number) for number in range(1, NUM_LANDMARK_SLOTS + 1)]
    categories = [
        {
            "id": category.id,
            "name": category.coco_name,
            "supercategory": "clothes",
            "keypoints": keypoints,
            "skeleton": [],
        }
        for category in CATEGORIES
    ]
    listed = [
        {
            "coco_url": "",
            "date_captured": "",
            "file_name": f"{image.stem}.jpg",
            "flickr_url": "",
            "id": int(image.stem),
            "license": 0,
            "width": image.size[0],
            "height": image.size[1],
        }
        for image in images
    ]
    return {"categories": categories, "images": listed, "info": {}, "licenses": []}


def _write_json(path: Path, content: Any) -> None:
    path.write_bytes(json.dumps(content).encode("ascii"))
