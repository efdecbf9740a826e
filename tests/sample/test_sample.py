"""The synthetic release: same bytes every time, the real layout and oddities, pictures that agree."""

from __future__ import annotations

import builtins
import hashlib
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from registry.dataset.deepfashion2 import CATEGORIES, CATEGORY_BY_ID, LANDMARK_SLOTS
from registry.errors import MissingDependencyError, UsageError
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
    """Return one digest of all paths and bytes below a folder."""
    total = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        total.update(path.relative_to(root).as_posix().encode())
        if path.is_file():
            total.update(path.read_bytes())
    return total.hexdigest()


def files_of(root: Path, split: str) -> list[tuple[Path, dict[str, Any]]]:
    """Return the annotation files of a split with their content."""
    return [(path, json.loads(path.read_bytes())) for path in sorted((root / split / "annos").iterdir())]


def items_of(root: Path, split: str) -> list[tuple[Path, dict[str, Any], dict[str, Any]]]:
    """Return (file, content, item) of a split."""
    found = []
    for path, content in files_of(root, split):
        found += [(path, content, content[key]) for key in sorted(content) if key.startswith("item")]
    return found


def picture_of(annotation: Path) -> Path:
    """Return the photo that belongs to an annotation file."""
    return annotation.parent.parent / "image" / f"{annotation.stem}.jpg"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sample large enough to hold every category and oddity."""
    root: Path = tmp_path_factory.mktemp("sample") / "release"
    write_sample(root, num_images=100, seed=3)
    return root


def test_the_same_seed_gives_the_same_bytes_whatever_the_hash_seed(tmp_path: Path) -> None:
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
def test_small_samples_give_every_split_both_sources(tmp_path: Path, num_images: int) -> None:
    calls: list[tuple[int, int]] = []
    summary = write_sample(tmp_path / "s", num_images, progress=lambda done, total: calls.append((done, total)))
    assert sum(summary.images.values()) == num_images
    assert min(summary.images.values()) >= 2
    assert calls == [(done, num_images) for done in range(1, num_images + 1)]
    for split in ("train", "validation"):
        sources = {content["source"] for _, content in files_of(tmp_path / "s", split)}
        assert sources == {"user", "shop"}
        assert summary.items[split] == len(items_of(tmp_path / "s", split))


def test_nothing_but_the_finished_sample_is_left_behind(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "release"
    write_sample(target, num_images=6)
    assert [path.name for path in target.parent.iterdir()] == ["release"]
    assert sorted(path.name for path in target.iterdir()) == [
        "json_for_test", "json_for_validation", "test", "train", "validation",
    ]  # fmt: skip


def test_an_empty_folder_is_taken_and_a_filled_one_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "release"
    target.mkdir()
    write_sample(target, num_images=6)
    before = digest(target)
    with pytest.raises(UsageError, match="not an empty folder"):
        write_sample(target, num_images=6, seed=9)
    assert digest(target) == before


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_sample(tmp_path / "release", num_images=6, progress=stop)
    assert list(tmp_path.iterdir()) == []


def test_too_few_images_are_refused_with_the_least_number(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least 6 images"):
        write_sample(tmp_path / "release", num_images=5)
    assert list(tmp_path.iterdir()) == []


def test_missing_pillow_is_reported_with_the_install_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = builtins.__import__

    def refuse(name: str, *args: Any, **kwargs: Any) -> ModuleType:
        if name.split(".", maxsplit=1)[0] == "PIL":
            raise ModuleNotFoundError("No module named 'PIL'", name="PIL")
        return original(name, *args, **kwargs)

    for name in [name for name in sys.modules if name.startswith("registry.sample.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(MissingDependencyError, match=r"pip install 'deepfashion2-registry\[sample\]'"):
        write_sample(tmp_path / "release", num_images=6)


def test_layout_and_numbering_are_those_of_the_release(sample: Path) -> None:
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


def test_annotation_files_are_one_ascii_line_with_the_release_s_key_order(sample: Path) -> None:
    for split in ("train", "validation"):
        for path, content in files_of(sample, split):
            raw = path.read_bytes()
            assert raw == json.dumps(content).encode("ascii")
            assert b"\n" not in raw
            numbers = tuple(sorted(key for key in content if key.startswith("item")))
            assert list(content) == FILE_KEYS[numbers]
            for key in numbers:
                assert list(content[key]) == ITEM_KEYS


def test_train_runs_by_pair_and_validation_lists_users_first(sample: Path) -> None:
    train = [(content["pair_id"], content["source"] == "shop") for _, content in files_of(sample, "train")]
    assert train == sorted(train)
    validation = [(content["source"] == "shop", content["pair_id"]) for _, content in files_of(sample, "validation")]
    assert validation == sorted(validation)
    assert train[0][0] == validation[0][1] == 1


def test_polygons_have_the_shape_of_their_split(sample: Path) -> None:
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


def test_landmarks_fit_the_category_the_picture_and_the_box(sample: Path) -> None:
    for split in ("train", "validation"):
        for path, _, item in items_of(sample, split):
            category = CATEGORY_BY_ID[item["category_id"]]
            assert item["category_name"] == category.name
            assert len(item["landmarks"]) == 3 * category.num_landmarks
            with Image.open(picture_of(path)) as image:
                width, height = image.size
            x1, y1, x2, y2 = item["bounding_box"]
            # The box is drawn by hand: a landmark of the outline may be a little outside.
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


def test_codes_agree_with_the_boxes_and_polygons(sample: Path) -> None:
    for split in ("train", "validation"):
        for path, _, item in items_of(sample, split):
            with Image.open(picture_of(path)) as image:
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


def test_every_category_and_every_oddity_occurs(sample: Path) -> None:
    train = items_of(sample, "train")
    everything = train + items_of(sample, "validation")
    assert {item["category_id"] for _, _, item in everything} == {category.id for category in CATEGORIES}
    assert any(not any(item["landmarks"]) for _, _, item in train)
    assert any(item["bounding_box"] == [0, 0, 0, 0] for _, _, item in train)
    assert any("item3" in content and "item2" not in content for _, content, _ in train)
    assert {1, 2, 3} <= {len([k for k in content if k.startswith("item")]) for _, content, _ in everything}
    unnamed = sum(item["style"] == 0 for _, _, item in everything) / len(everything)
    assert 0.15 < unnamed < 0.55


def test_retrieval_files_list_the_validation_items(sample: Path) -> None:
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


def test_information_files_list_each_image_with_its_size(sample: Path) -> None:
    for split, short in (("validation", "val"), ("test", "test")):
        listed = []
        for name in ("consumer", "shop"):
            path = sample / f"json_for_{split}" / f"retrieval_{short}_{name}_information.json"
            content = json.loads(path.read_bytes())
            assert list(content) == ["categories", "images", "info", "licenses"]
            assert [c["name"] for c in content["categories"]] == [c.coco_name for c in CATEGORIES]
            listed += content["images"]
        files = sorted((sample / split / "image").iterdir())
        assert [entry["file_name"] for entry in listed] == [path.name for path in files]
        for entry, path in zip(listed, files, strict=True):
            with Image.open(path) as image:
                assert (entry["width"], entry["height"]) == image.size
                assert "exif" not in image.info


def test_items_of_one_identity_have_the_same_colour_on_both_sides() -> None:
    from random import Random

    from registry.sample.identities import category_deck, plan_split

    pictures = plan_split("train", 120, 4, category_deck(Random(4)))
    cloth: dict[tuple[int, int], set[Any]] = defaultdict(set)
    cuts: dict[tuple[int, int], set[Any]] = defaultdict(set)
    for picture in pictures:
        for outfit in picture.outfits:
            product = outfit[0]
            cuts[picture.pair_id, product.garment.category_id].add(product.garment.cut)
            for worn in outfit:
                if worn.style:
                    cloth[picture.pair_id, worn.style].add(worn.garment.fabric)
    assert all(len(fabrics) == 1 for fabrics in cloth.values())
    assert all(len(shared) == 1 for shared in cuts.values())
    by_pair: dict[int, set[Any]] = defaultdict(set)
    for (pair_id, _), fabrics in cloth.items():
        by_pair[pair_id] |= fabrics
    styles = defaultdict(int)
    for pair_id, _ in cloth:
        styles[pair_id] += 1
    assert all(len(by_pair[pair_id]) == count for pair_id, count in styles.items())
    assert max(styles.values()) > 1


def test_a_garment_is_drawn_where_its_annotation_says(sample: Path) -> None:
    """On white ground each landmark of the outline has red cloth on one side and white on the other."""
    from registry.sample.canvas import Canvas
    from registry.sample.fabrics import Fabric
    from registry.sample.garments import Garment, Wardrobe, draw_garment
    from registry.sample.geometry import Affine
    from registry.sample.pose import Cut, Figure, Outline
    from registry.sample.templates import template_of

    for category in CATEGORIES:
        canvas = Canvas(Image.new("RGB", (300, 520), (255, 255, 255)))
        figure = Figure(Affine(500.0, 0.0, 150.0, 0.0, 500.0, 10.0), worn=False)
        outline = Outline(category.id, Cut(), figure)
        red = (200, 30, 30)
        garment = Garment(category.id, Cut(), Fabric("solid", red, red, red, 1.0, 1))
        layer = draw_garment(canvas, outline, garment, Wardrobe())
        for number in range(1, category.num_landmarks + 1):
            if number not in outline.keys or number == 1:
                # The back of the neck belongs to the inside, which is drawn on its own.
                continue
            x, y = outline.points[number]
            near = [canvas.image.getpixel((round(x) + dx, round(y) + dy)) for dx in (-2, 0, 2) for dy in (-2, 0, 2)]
            inside = [pixel for pixel in near if pixel[1] < 200]
            assert inside, (category.name, number)
            # In an armpit or a crotch the cloth of both sides may fill the neighbourhood.
            if number not in {key for part in template_of(category.id).parts for key in part[:2]}:
                assert len(inside) < 9, (category.name, number)
        assert layer.mask.getbbox() is not None


def test_templates_cover_all_landmarks_and_mirror_by_the_swap_pairs() -> None:
    from registry.sample.templates import template_of

    for category in CATEGORIES:
        template = template_of(category.id)
        numbers = {key for key in template.points if isinstance(key, int)}
        assert numbers == set(range(1, category.num_landmarks + 1))
        for number in numbers:
            slot = LANDMARK_SLOTS[category.landmark_offset + number - 1]
            other = slot.swap_slot - category.landmark_offset + 1
            x, y = template.points[number]
            assert template.points[other] == (-x, y)
            assert template.mirror[number] == other
            if other == number:
                assert x == 0
        on_outline = {key for key in template.ring if isinstance(key, int)}
        assert numbers - on_outline <= {1}


def test_templates_are_numbered_as_in_the_figure() -> None:
    """Landmarks that the figure puts on the image-left side, from top to bottom or along the sleeve."""
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
