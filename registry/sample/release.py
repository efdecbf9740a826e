"""The sample on disk: images, annotations and retrieval lists of the three splits, in the release's layout."""

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
from registry.sample.identities import PhotoPlan, plan_split, product_categories
from registry.sample.scenes import take_photo
from registry.sample.summary import SampleSummary
from registry.storage.filesystems import reason
from registry.storage.replacement import entries, real_folder, recover, replacement

#: The smallest sample in which each split has a user and a shop image.
MIN_IMAGES: Final = 6
#: Samples of at least this size contain each of the release's rare irregularities.
_MIN_IMAGES_WITH_IRREGULARITIES: Final = 100
_JPEG_QUALITY: Final = 85


@dataclass(slots=True)
class _WrittenImage:
    """An image file that has been written.

    Attributes:
        image_id: number of the image in its split, from 1.
        size: width and height in px.
        plan: listing and source of the photo.
        items: annotated items by item number; empty for test.
    """

    image_id: int
    size: tuple[int, int]
    plan: PhotoPlan
    items: dict[int, dict[str, Any]]

    @property
    def stem(self) -> str:
        """File name without extension, as ``000001``."""
        return f"{self.image_id:06d}"


def split_sizes(num_images: int) -> dict[str, int]:
    """Return the number of images by split: about 60, 25 and 15 % of ``num_images``, at least two each."""
    validation = max(2, round(num_images * 0.25))
    test = max(2, round(num_images * 0.15))
    return {"train": num_images - validation - test, "validation": validation, "test": test}


def write_release(
    dest: str | os.PathLike[str],
    num_images: int,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> SampleSummary:
    """Write the sample and return its counts; see `registry.sample.write_sample`."""
    target = Path(dest)
    if num_images < MIN_IMAGES:
        raise UsageError(
            f"A sample needs at least {MIN_IMAGES} images, two for each of the three splits;"
            f" got {num_images}. Ask for {MIN_IMAGES} or more."
        )
    try:
        folder = real_folder(target, str(target))
        recover(folder)
        _check_empty(folder, target)  # before creating parent folders
        with replacement(folder, SPLITS[0]) as new:
            _check_empty(folder, target)  # again, now under the lock
            summary = _write_all(new.unfinished, target, num_images, seed, progress)
            _check_empty(folder, target)
            paths = [path for path in new.unfinished.rglob("*") if path.is_file()]
            new.commit([path.relative_to(new.unfinished).as_posix() for path in paths])
        return summary
    except OSError as error:
        raise StorageError(f"Cannot write the sample to {target}: {reason(error)}.") from error


def _check_empty(folder: Path, target: Path) -> None:
    """Raise if the folder exists and is not empty.

    Args:
        folder: path with symbolic links resolved.
        target: path to name in the message.

    Raises:
        UsageError: the folder is not empty.
    """
    if folder.is_dir() and entries(folder):
        raise UsageError(
            f"{target} exists and is not an empty folder; a sample never overwrites anything. "
            "Name a new folder or empty this one first."
        )


def _write_all(
    root: Path, target: Path, num_images: int, seed: int, progress: Callable[[int, int], None] | None
) -> SampleSummary:
    """Write all files below ``root`` and return the counts.

    Args:
        root: folder to write to.
        target: folder to name in the summary.
        num_images: total number of images.
        seed: seed of the random generators.
        progress: called after each image with (images written, ``num_images``).
    """
    sizes = split_sizes(num_images)
    categories = product_categories(random.Random(f"{seed}:categories"))
    num_written = 0
    num_items: dict[str, int] = {}
    for split in SPLITS:
        plans = _in_file_order(split, plan_split(split, sizes[split], seed, categories))
        wardrobe = Wardrobe()
        (root / split / "image").mkdir(parents=True)
        images = []
        for image_id, plan in enumerate(plans, start=1):
            images.append(_write_image(root / split / "image", split, image_id, plan, wardrobe))
            num_written += 1
            if progress is not None:
                progress(num_written, num_images)
        if split == "train" and num_images >= _MIN_IMAGES_WITH_IRREGULARITIES:
            _add_irregularities(images)
        if split != "test":
            _write_annotations(root / split / "annos", images)
        if split != "train":
            _write_retrieval_lists(root / f"json_for_{split}", split, images)
        num_items[split] = sum(len(image.items) for image in images)
    return SampleSummary(target, sizes, num_items, seed)


def _in_file_order(split: str, plans: list[PhotoPlan]) -> list[PhotoPlan]:
    """Return the photos in file order: train by pair_id, the other splits first all user, then all shop photos."""
    if split == "train":
        return plans
    return sorted(plans, key=lambda plan: (plan.source != "user", plan.pair_id))


def _write_image(folder: Path, split: str, image_id: int, plan: PhotoPlan, wardrobe: Wardrobe) -> _WrittenImage:
    """Draw a photo, write it as ``folder/000001.jpg`` (for image 1) and return it with its items."""
    photo = take_photo(plan, wardrobe)
    annotated = annotate(photo, split, plan.seed)
    while not annotated:
        # No garment is inside this close-up: draw another framing.
        plan = replace(plan, seed=f"{plan.seed}:again")
        photo = take_photo(plan, wardrobe)
        annotated = annotate(photo, split, plan.seed)
    items = dict(enumerate(annotated, start=1)) if split != "test" else {}
    image = _WrittenImage(image_id, photo.image.size, plan, items)
    photo.image.save(folder / f"{image.stem}.jpg", "JPEG", quality=_JPEG_QUALITY)
    return image


def _add_irregularities(images: list[_WrittenImage]) -> None:
    """Change items the way a few of the release's 300,000 train items are irregular."""
    two_items = [image for image in images if len(image.items) == 2]
    candidates = [image for image in two_items if image.items[2]["style"] == 0] or two_items
    candidates.sort(key=lambda image: sum(1 for v in image.items[2]["landmarks"][2::3] if v))
    if candidates:
        # An item without labelled landmarks; the candidate with the fewest labelled landmarks becomes it.
        item = candidates[0].items[2]
        item["landmarks"] = [0] * len(item["landmarks"])
        item["occlusion"] = 3
    # An item without a bounding box.
    items = (candidates[1] if len(candidates) > 1 else images[-1]).items
    item = items[max(items)]
    item["bounding_box"] = [0, 0, 0, 0]
    item["scale"] = 1
    if len(candidates) > 2:
        # A gap in the item numbers: item1 and item3.
        candidates[2].items[3] = candidates[2].items.pop(2)


def _write_annotations(folder: Path, images: list[_WrittenImage]) -> None:
    folder.mkdir()
    for image in images:
        content = annotation_file(image.plan.source, image.plan.pair_id, image.items)
        _write_json(folder / f"{image.stem}.json", content)


def _write_retrieval_lists(folder: Path, split: str, images: list[_WrittenImage]) -> None:
    """Write the image lists of users and shops and, for validation, the query and gallery lists."""
    folder.mkdir()
    short_split = "val" if split == "validation" else "test"
    for source, name in (("user", "consumer"), ("shop", "shop")):
        of_source = [image for image in images if image.plan.source == source]
        _write_json(folder / f"retrieval_{short_split}_{name}_information.json", _image_list(of_source))
    if split == "validation":
        _write_json(folder / "val_query.json", _queries(images))
        _write_json(folder / "val_gallery.json", _gallery(images))


def _queries(images: list[_WrittenImage]) -> list[dict[str, Any]]:
    """Return the entries of the query list: the user items with a style above 0."""
    return [
        {
            "query_image_id": image.image_id,
            "bbox": item["bounding_box"],
            "cls": item["category_id"],
            "style": item["style"],
            "pair_id": image.plan.pair_id,
        }
        for image in images
        if image.plan.source == "user"
        for _, item in sorted(image.items.items())
        if item["style"] > 0
    ]


def _gallery(images: list[_WrittenImage]) -> list[dict[str, Any]]:
    """Return the entries of the gallery list: all shop items."""
    return [
        {
            "gallery_image_id": image.image_id,
            "bbox": item["bounding_box"],
            "style": item["style"],
            "pair_id": image.plan.pair_id,
        }
        for image in images
        if image.plan.source == "shop"
        for _, item in sorted(image.items.items())
    ]


def _image_list(images: list[_WrittenImage]) -> dict[str, Any]:
    """Return the content of an ``*_information.json`` file: images and categories in COCO's form."""
    keypoints = [str(slot_no) for slot_no in range(1, NUM_LANDMARK_SLOTS + 1)]
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
    entries = [
        {
            "coco_url": "",
            "date_captured": "",
            "file_name": f"{image.stem}.jpg",
            "flickr_url": "",
            "id": image.image_id,
            "license": 0,
            "width": image.size[0],
            "height": image.size[1],
        }
        for image in images
    ]
    return {"categories": categories, "images": entries, "info": {}, "licenses": []}


def _write_json(path: Path, content: Any) -> None:
    path.write_bytes(json.dumps(content).encode("ascii"))
