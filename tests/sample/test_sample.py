"""The synthetic release: reproducible bytes, the layout of the real release, and annotations that fit the photos."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

import registry
from registry.dataset.deepfashion2 import CATEGORIES, CATEGORY_BY_ID, LANDMARK_SLOTS
from registry.errors import UsageError
from registry.sample import write_sample

Image = pytest.importorskip("PIL.Image")

ITEM_KEYS = [
    "segmentation", "scale", "viewpoint", "zoom_in", "landmarks", "style", "bounding_box", "category_id",
    "occlusion", "category_name",
]  # fmt: skip
FILE_KEYS = {
    ("item1",): ["source", "pair_id", "item1"],
    ("item1", "item2"): ["item2", "source", "pair_id", "item1"],
    ("item1", "item3"): ["source", "pair_id", "item1", "item3"],
    ("item1", "item2", "item3"): ["item2", "source", "pair_id", "item1", "item3"],
    ("item1", "item2", "item3", "item4"): ["item2", "item3", "item1", "item4", "source", "pair_id"],
}


def digest(root: Path) -> str:
    """Return the SHA-256 of all paths and file contents below a folder."""
    sha256 = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        sha256.update(path.relative_to(root).as_posix().encode())
        if path.is_file():
            sha256.update(path.read_bytes())
    return sha256.hexdigest()


def files_of(root: Path, split: str) -> list[tuple[Path, dict[str, Any]]]:
    """Return (path, content) of each annotation file of a split."""
    return [(path, json.loads(path.read_bytes())) for path in sorted((root / split / "annos").iterdir())]


def items_of(root: Path, split: str) -> list[tuple[Path, dict[str, Any], dict[str, Any]]]:
    """Return (path, content, item) of each item of a split."""
    items = []
    for path, content in files_of(root, split):
        items += [(path, content, content[key]) for key in sorted(content) if key.startswith("item")]
    return items


def photo_of(annotation: Path) -> Path:
    """Return the path of the photo of an annotation file."""
    return annotation.parent.parent / "image" / f"{annotation.stem}.jpg"


@pytest.fixture(scope="module")
def sample(drawn_hundred: Path) -> Path:
    """Return a sample with all categories and irregularities of the release."""
    return drawn_hundred


def test_the_same_seed_gives_the_same_bytes_with_another_hash_seed(tmp_path: Path) -> None:
    write_sample(tmp_path / "a", num_images=8, seed=5)
    code = f"from registry.sample import write_sample; write_sample({str(tmp_path / 'b')!r}, 8, 5)"
    env = os.environ | {"PYTHONHASHSEED": "77", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code], check=True, env=env)
    assert digest(tmp_path / "a") == digest(tmp_path / "b")


def test_another_seed_gives_another_sample(tmp_path: Path) -> None:
    write_sample(tmp_path / "a", num_images=6, seed=1)
    write_sample(tmp_path / "b", num_images=6, seed=2)
    assert digest(tmp_path / "a") != digest(tmp_path / "b")


@pytest.mark.parametrize("num_images", [6, 7, 11])
def test_small_samples_have_user_and_shop_images_in_every_split(tmp_path: Path, num_images: int) -> None:
    calls: list[tuple[int, int]] = []
    summary = write_sample(tmp_path / "s", num_images, progress=lambda done, total: calls.append((done, total)))
    assert sum(summary.images.values()) == num_images
    assert min(summary.images.values()) >= 2
    assert calls == [(done, num_images) for done in range(1, num_images + 1)]
    for split in ("train", "validation"):
        sources = {content["source"] for _, content in files_of(tmp_path / "s", split)}
        assert sources == {"user", "shop"}
        assert summary.items[split] == len(items_of(tmp_path / "s", split))


def test_writing_leaves_no_temporary_files(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "release"
    write_sample(target, num_images=6)
    assert [path.name for path in target.parent.iterdir()] == ["release"]
    assert sorted(path.name for path in target.iterdir()) == [
        "json_for_test", "json_for_validation", "test", "train", "validation",
    ]  # fmt: skip


def test_an_empty_folder_is_used_and_a_folder_with_files_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "release"
    target.mkdir()
    write_sample(target, num_images=6)
    before = digest(target)
    with pytest.raises(UsageError, match="not an empty folder"):
        write_sample(target, num_images=6, seed=9)
    assert digest(target) == before


def test_an_interrupted_run_leaves_no_files(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sample(tmp_path / "release", num_images=6, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_too_few_images_are_refused_and_the_message_names_the_minimum(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 6 images"):
        write_sample(tmp_path / "release", num_images=5)
    assert list(tmp_path.iterdir()) == []


def test_folders_and_file_numbers_are_those_of_the_release(sample: Path) -> None:
    for split, annotated in (("train", True), ("validation", True), ("test", False)):
        images = sorted(path.name for path in (sample / split / "image").iterdir())
        assert images == [f"{number:06d}.jpg" for number in range(1, len(images) + 1)]
        assert (sample / split / "annos").exists() == annotated
        if annotated:
            names = sorted(path.stem for path in (sample / split / "annos").iterdir())
            assert names == [Path(name).stem for name in images]
    assert sorted(path.name for path in (sample / "json_for_validation").iterdir()) == [
        "retrieval_val_consumer_information.json", "retrieval_val_shop_information.json", "val_gallery.json",
        "val_query.json",
    ]  # fmt: skip
    assert sorted(path.name for path in (sample / "json_for_test").iterdir()) == [
        "retrieval_test_consumer_information.json", "retrieval_test_shop_information.json",
    ]  # fmt: skip


def test_an_annotation_file_is_a_single_ascii_line_with_keys_in_the_order_of_the_release(sample: Path) -> None:
    for split in ("train", "validation"):
        for path, content in files_of(sample, split):
            raw = path.read_bytes()
            assert raw == json.dumps(content).encode("ascii")
            assert b"\n" not in raw
            numbers = tuple(sorted(key for key in content if key.startswith("item")))
            assert list(content) == FILE_KEYS[numbers]
            for key in numbers:
                assert list(content[key]) == ITEM_KEYS


def test_train_is_sorted_by_pair_id_and_validation_by_source(sample: Path) -> None:
    train = [(content["pair_id"], content["source"] == "shop") for _, content in files_of(sample, "train")]
    assert train == sorted(train)
    validation = [(content["source"] == "shop", content["pair_id"]) for _, content in files_of(sample, "validation")]
    assert validation == sorted(validation)
    assert train[0][0] == validation[0][1] == 1


def test_polygons_are_closed_integers_in_train_and_open_floats_in_validation(sample: Path) -> None:
    for _, _, item in items_of(sample, "train"):
        for ring in item["segmentation"]:
            assert all(isinstance(value, int) for value in ring)
            assert ring[:2] == ring[-2:]
            assert len(ring) >= 8
    for _, _, item in items_of(sample, "validation"):
        for ring in item["segmentation"]:
            assert all(isinstance(value, float) for value in ring)
            assert ring[:2] != ring[-2:]
            assert len(ring) >= 6
    assert max(len(item["segmentation"]) for _, _, item in items_of(sample, "train")) >= 3
    single = [len(item["segmentation"]) == 1 for _, _, item in items_of(sample, "validation")]
    assert sum(single) / len(single) > 0.8


def test_landmarks_match_the_category_and_are_inside_photo_and_box(sample: Path) -> None:
    for split in ("train", "validation"):
        for path, _, item in items_of(sample, split):
            category = CATEGORY_BY_ID[item["category_id"]]
            assert item["category_name"] == category.name
            assert len(item["landmarks"]) == 3 * category.num_landmarks
            with Image.open(photo_of(path)) as image:
                width, height = image.size
            x1, y1, x2, y2 = item["bounding_box"]
            # Boxes imitate hand-drawn boxes: landmarks may be a little outside.
            slack = 3 + 0.03 * max(x2 - x1, y2 - y1)
            for k in range(category.num_landmarks):
                x, y, v = item["landmarks"][3 * k : 3 * k + 3]
                assert v in (0, 1, 2)
                if v == 0:
                    assert (x, y) == (0, 0)
                    continue
                assert 0 <= x < width
                assert 0 <= y < height
                if item["bounding_box"] != [0, 0, 0, 0]:
                    assert x1 - slack <= x <= x2 + slack
                    assert y1 - slack <= y <= y2 + slack


def test_attribute_codes_and_polygons_fit_the_photo(sample: Path) -> None:
    for split in ("train", "validation"):
        for path, _, item in items_of(sample, split):
            with Image.open(photo_of(path)) as image:
                width, height = image.size
            x1, y1, x2, y2 = item["bounding_box"]
            share = (x2 - x1) * (y2 - y1) / (width * height)
            assert item["scale"] == (1 if share < 0.10 else 2 if share <= 0.40 else 3)
            assert 0 <= x1 <= x2 < width
            assert 0 <= y1 <= y2 < height
            xs, ys = item["segmentation"][0][0::2], item["segmentation"][0][1::2]
            assert min(xs) >= -1.5
            assert max(xs) <= width + 0.5
            assert min(ys) >= -1.5
            assert max(ys) <= height + 0.5
            for code in ("viewpoint", "zoom_in", "occlusion"):
                assert item[code] in (1, 2, 3)


def test_all_categories_and_irregularities_occur(sample: Path) -> None:
    train = items_of(sample, "train")
    all_items = train + items_of(sample, "validation")
    assert {item["category_id"] for _, _, item in all_items} == {category.id for category in CATEGORIES}
    assert any(not any(item["landmarks"]) for _, _, item in train)
    assert any(item["bounding_box"] == [0, 0, 0, 0] for _, _, item in train)
    assert any("item3" in content and "item2" not in content for _, content, _ in train)
    assert {1, 2, 3} <= {len([k for k in content if k.startswith("item")]) for _, content, _ in all_items}
    share_without_identity = sum(item["style"] == 0 for _, _, item in all_items) / len(all_items)
    assert 0.15 < share_without_identity < 0.55


def test_query_and_gallery_lists_match_the_annotations(sample: Path) -> None:
    query, gallery = [], []
    for path, content, item in items_of(sample, "validation"):
        identity = {"style": item["style"], "pair_id": content["pair_id"]}
        number, box = int(path.stem), item["bounding_box"]
        if content["source"] == "shop":
            gallery.append({"gallery_image_id": number, "bbox": box, **identity})
        elif item["style"] > 0:
            query.append({"query_image_id": number, "bbox": box, "cls": item["category_id"], **identity})
    folder = sample / "json_for_validation"
    assert json.loads((folder / "val_query.json").read_bytes()) == query
    assert json.loads((folder / "val_gallery.json").read_bytes()) == gallery
    assert query
    assert any(entry["style"] == 0 for entry in gallery)


def test_information_files_list_all_images_with_their_sizes(sample: Path) -> None:
    for split, short in (("validation", "val"), ("test", "test")):
        entries = []
        for name in ("consumer", "shop"):
            path = sample / f"json_for_{split}" / f"retrieval_{short}_{name}_information.json"
            content = json.loads(path.read_bytes())
            assert list(content) == ["categories", "images", "info", "licenses"]
            assert [c["name"] for c in content["categories"]] == [c.coco_name for c in CATEGORIES]
            entries += content["images"]
        files = sorted((sample / split / "image").iterdir())
        assert [entry["file_name"] for entry in entries] == [path.name for path in files]
        for entry, path in zip(entries, files, strict=True):
            with Image.open(path) as image:
                assert (entry["width"], entry["height"]) == image.size
                assert "exif" not in image.info


def test_items_of_an_identity_have_the_same_fabric_and_those_of_a_pair_id_the_same_cut() -> None:
    from random import Random

    from registry.sample.identities import plan_split, product_categories

    plans = plan_split("train", 120, 4, product_categories(Random(4)))
    fabrics_of: dict[tuple[int, int], set[Any]] = defaultdict(set)
    cuts: dict[tuple[int, int], set[Any]] = defaultdict(set)
    for plan in plans:
        for outfit in plan.outfits:
            product = outfit[0]
            cuts[plan.pair_id, product.garment.category_id].add(product.garment.cut)
            for styled in outfit:
                if styled.style:
                    fabrics_of[plan.pair_id, styled.style].add(styled.garment.fabric)
    assert all(len(fabrics) == 1 for fabrics in fabrics_of.values())
    assert all(len(of_listing) == 1 for of_listing in cuts.values())
    by_pair: dict[int, set[Any]] = defaultdict(set)
    for (pair_id, _), fabrics in fabrics_of.items():
        by_pair[pair_id] |= fabrics
    styles = defaultdict(int)
    for pair_id, _ in fabrics_of:
        styles[pair_id] += 1
    assert all(len(by_pair[pair_id]) == count for pair_id, count in styles.items())
    assert max(styles.values()) > 1


def test_garments_are_drawn_at_the_position_of_their_landmarks(sample: Path) -> None:
    """Around each landmark of the outline there are red pixels of the garment and white background pixels."""
    from registry.sample.canvas import Canvas
    from registry.sample.fabrics import Fabric
    from registry.sample.garments import Garment, Wardrobe, draw_garment
    from registry.sample.geometry import Affine
    from registry.sample.pose import Cut, Figure, Outline
    from registry.sample.templates import template_of

    for category in CATEGORIES:
        canvas = Canvas(Image.new("RGB", (300, 520), (255, 255, 255)))
        figure = Figure(Affine(500.0, 0.0, 150.0, 0.0, 500.0, 10.0), is_worn=False)
        outline = Outline(category.id, Cut(), figure)
        red = (200, 30, 30)
        garment = Garment(category.id, Cut(), Fabric("solid", red, red, red, 1.0, 1))
        layer = draw_garment(canvas, outline, garment, Wardrobe())
        for number in range(1, category.num_landmarks + 1):
            if number not in outline.keys or number == 1:
                # Landmark 1, the back of the neck, is on the inside, which draw_garment does not draw.
                continue
            x, y = outline.points[number]
            pixels = [canvas.image.getpixel((round(x) + dx, round(y) + dy)) for dx in (-2, 0, 2) for dy in (-2, 0, 2)]
            inside = [pixel for pixel in pixels if pixel[1] < 200]
            assert inside, (category.name, number)
            # At an armpit or the crotch, fabric may cover all of these pixels.
            if number not in {key for part in template_of(category.id).parts for key in part[:2]}:
                assert len(inside) < 9, (category.name, number)
        assert layer.mask.getbbox() is not None


def test_templates_have_all_landmarks_and_are_symmetric_by_the_swap_pairs() -> None:
    from registry.sample.templates import template_of

    for category in CATEGORIES:
        template = template_of(category.id)
        numbers = {key for key in template.points if isinstance(key, int)}
        assert numbers == set(range(1, category.num_landmarks + 1))
        for number in numbers:
            slot = LANDMARK_SLOTS[category.landmark_offset + number - 1]
            swapped = slot.swap_slot - category.landmark_offset + 1
            x, y = template.points[number]
            assert template.points[swapped] == (-x, y)
            assert template.mirror[number] == swapped
            if swapped == number:
                assert x == 0
        on_outline = {key for key in template.ring if isinstance(key, int)}
        assert numbers - on_outline <= {1}


def test_landmark_numbers_are_on_the_side_of_the_landmark_figure() -> None:
    """The numbers are those on the image-left side of the data set's landmark figure."""
    from registry.sample.templates import template_of

    left_of = {
        1: (2, 3, 7, 8, 9, 10, 11, 12, 13, 14, 15), 2: (2, 3, *range(7, 20)),
        3: (2, 3, 4, *range(7, 17), 30, 31), 4: (2, 3, 4, *range(7, 21), 38, 39), 5: (2, 3, 7, 8, 9, 10),
        6: (2, 3, 7, 8, 9, 10), 7: (1, 4, 5, 6), 8: (1, 4, 5, 6, 7, 8), 9: (1, 4, 5),
        10: (2, 3, *range(7, 18)), 11: (2, 3, *range(7, 22)), 12: (2, 3, *range(7, 13)),
        13: (2, 3, *range(7, 13)),
    }  # fmt: skip
    for category_id, numbers in left_of.items():
        points = template_of(category_id).points
        assert {key for key, (x, _) in points.items() if isinstance(key, int) and x < 0} == set(numbers)
    outer = template_of(4).points
    assert outer[38][1] < outer[39][1]
    assert outer[7][1] < outer[8][1] < outer[9][1] < outer[10][1] < outer[11][1]
    assert outer[12][1] > outer[13][1] > outer[14][1] > outer[15][1] > outer[16][1]


def test_groups_of_categories_follow_the_category_names() -> None:
    from registry.sample import categories

    def named(*words: str) -> set[int]:
        return {category.id for category in CATEGORIES if any(word in category.name for word in words)}

    assert named("dress") == categories.DRESSES
    assert named("outwear") == categories.OUTWEAR
    assert named("shorts", "trousers", "skirt") == categories.BOTTOMS
    assert named("") - categories.DRESSES - categories.OUTWEAR - categories.BOTTOMS == categories.TOPS
    assert named("short sleeve") == categories.SHORT_SLEEVED
    assert named("long sleeve") == categories.LONG_SLEEVED
    assert named("vest") == categories.VESTS
    assert named("sling") == categories.SLINGS


def test_other_rooms_use_only_the_function_of_the_package() -> None:
    package = Path(registry.__file__).parent
    modules = [path for path in package.rglob("*.py") if path.parent != package / "sample"]
    assert [path for path in modules if re.search(r"registry\.sample\.\w", path.read_text("utf-8"))] == []
