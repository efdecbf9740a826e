"""Public loaders of the released layout read the same of a deepfashion2 export as of the release itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.dataset.deepfashion2 import CATEGORIES
from tests.exports.releases import run_export
from tests.loaders import release_loaders
from tests.loaders.released import released_items


def read_glem(folder: Path, _: Path) -> Any:
    return [release_loaders.glem(folder, category.id, category.num_landmarks) for category in CATEGORIES]


def read_retrieval(folder: Path, tmp_path: Path) -> Any:
    return release_loaders.deepfashion2_retrieval(folder, tmp_path)


def read_fashion_datasets(folder: Path, _: Path) -> Any:
    return release_loaders.fashion_datasets(folder)


LOADERS = {"GLEM": read_glem, "gy0nylee": read_retrieval, "FashionDatasets": read_fashion_datasets}


@pytest.fixture(scope="module")
def exports(ingested: Path, published: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return deepfashion2 exports with photos: all items, and those whose box has an area."""
    folder = tmp_path_factory.mktemp("exports")
    for name, subset in {"all": {}, "sound": {"min_box_area": 1}}.items():
        run_export(ingested, "deepfashion2", folder / name, subset=subset, images="copy", photos=published)
    return {name: folder / name for name in ("all", "sound")}


@pytest.fixture(scope="module")
def sound_release(published: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the release without the only photo whose item has a box without area, which stops gy0nylee's script."""
    folder = tmp_path_factory.mktemp("sound")
    for path in published.rglob("*.*"):
        copied = folder / path.relative_to(published)
        copied.parent.mkdir(parents=True, exist_ok=True)
        if (path.parts[-3], path.stem) != ("train", "000007"):
            copied.write_bytes(path.read_bytes())
    return folder


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("name", LOADERS)
def test_a_loader_reads_the_same_of_the_export_as_of_the_release(
    name: str, split: str, exports: dict[str, Path], published: Path, sound_release: Path, tmp_path: Path
) -> None:
    released, export = (sound_release, "sound") if name == "gy0nylee" else (published, "all")
    actual = LOADERS[name](exports[export] / split, tmp_path / "actual")
    assert actual == LOADERS[name](released / split, tmp_path / "expected")
    assert len(str(actual)) > 100


def test_every_item_is_a_sample_of_glem(exports: dict[str, Path], published: Path, tmp_path: Path) -> None:
    samples = read_glem(exports["all"] / "train", tmp_path)
    expected = [(item.fields["category_id"], item.image_id) for item in released_items(published / "train")]
    actual = [(number, sample["image_id"]) for number, found in enumerate(samples, 1) for sample in found]
    assert actual == sorted(expected)
    (trousers, fewer) = (sample for sample in samples[7] if sample["image_id"] in (1, 5))
    assert trousers["in_picture"] == [False] * 14
    assert fewer["in_picture"] == [True, False] + [True] * 12


def test_gy0nylees_pairs_are_those_of_the_identities(exports: dict[str, Path], tmp_path: Path) -> None:
    crops, pairs = release_loaders.deepfashion2_retrieval(exports["sound"] / "train", tmp_path / "crops")
    assert pairs == {("000001 item1", "000002 item1"), ("000001 item3", "000005 item1")}
    assert {crop.size for crop in crops} == {(100, 200), (210, 210)}


#: Changes of an item that a loader takes for another item or stops at.
FAULTS: dict[str, tuple[str, Callable[[dict[str, Any]], None]]] = {
    "a box with a fraction": ("GLEM", lambda fields: fields["bounding_box"].__setitem__(0, 10.0)),
    "a landmark too few": ("GLEM", lambda fields: fields.update(landmarks=fields["landmarks"][3:])),
    "another category": ("GLEM", lambda fields: fields.update(category_id=fields["category_id"] - 1)),
    "polygons lost": ("GLEM", lambda fields: fields.update(segmentation=[])),
    "another style": ("gy0nylee", lambda fields: fields.update(style=fields["style"] + 1)),
    "a box of another size": ("gy0nylee", lambda fields: fields["bounding_box"].__setitem__(2, 55)),
    "another name": ("FashionDatasets", lambda fields: fields.update(category_name="hat")),
    "an item too few": ("FashionDatasets", lambda fields: fields.pop("category_id")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_loader_notices_a_broken_file(fault: str, exports: dict[str, Path], tmp_path: Path) -> None:
    name, change = FAULTS[fault]
    sound, broken = exports["sound"] / "train", tmp_path / "train"
    for kind in ("annos", "image"):
        (broken / kind).mkdir(parents=True)
        for path in (sound / kind).iterdir():
            (broken / kind / path.name).write_bytes(path.read_bytes())
    for path in (broken / "annos").iterdir():
        document = json.loads(path.read_bytes())
        for key in document:
            if key.startswith("item"):
                change(document[key])
        path.write_text(json.dumps(document))
    try:
        actual = LOADERS[name](broken, tmp_path / "actual")
    except (AssertionError, TypeError, KeyError):
        return
    assert actual != LOADERS[name](sound, tmp_path / "expected")


@pytest.mark.parametrize("name", ["GLEM", "FashionDatasets"])
def test_a_photo_or_an_annotation_that_is_not_there_is_noticed(
    name: str, exports: dict[str, Path], tmp_path: Path
) -> None:
    for path in (exports["all"] / "train").rglob("*.*"):
        copied = tmp_path / "train" / path.relative_to(exports["all"] / "train")
        copied.parent.mkdir(parents=True, exist_ok=True)
        if path.name != "000005.jpg":
            copied.write_bytes(path.read_bytes())
    try:
        actual = LOADERS[name](tmp_path / "train", tmp_path)
    except AssertionError:
        return
    assert actual != LOADERS[name](exports["all"] / "train", tmp_path)
