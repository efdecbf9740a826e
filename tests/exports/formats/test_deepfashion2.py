"""The released layout: the export equals the ingested files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

import registry
from registry.ingest.build import ingest
from registry.subset.resplit import Resplit
from tests.exports.releases import run_export
from tests.helpers import annotation, annotations, item, landmarks, write_split

GOLDEN = (
    '{"item2": {"segmentation": [[10.5, 20.25, 110, 20, 110, 220.125]], "scale": 2, "viewpoint": 2, "zoom_in": 1, '
    '"landmarks": [11, 21, 2, 12, 22, 2, 13, 23, 2, 14, 24, 2, 15, 25, 2, 16, 26, 2, 17, 27, 2, 18, 28, 2], '
    '"style": 0, "bounding_box": [10, 20, 110, 220], "category_id": 9, "occlusion": 1, "category_name": "skirt"}, '
    '"source": "shop", "pair_id": 7, '
    '"item1": {"segmentation": [], "scale": 1, "viewpoint": 3, "zoom_in": 2, '
    '"landmarks": [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], '
    '"style": 4, "bounding_box": [0.5, -1, 3, 12345.75], "category_id": 9, "occlusion": 3, "category_name": "skirt"}}'
)


def contents(folder: Path) -> dict[str, Any]:
    """Return the annotations in a folder, and the order of the items of each."""
    actual: dict[str, Any] = {}
    for path in folder.iterdir():
        document = json.loads(path.read_bytes())
        actual[path.name] = document, [key for key in document if key.startswith("item")]
    return actual


def test_the_exact_file_of_an_image(tmp_path: Path) -> None:
    odd = item(9, 4, segmentation=[], landmarks=landmarks(9, 0), bounding_box=[0.5, -1.0, 3, 12345.75])
    odd |= {"scale": 1, "viewpoint": 3, "zoom_in": 2, "occlusion": 3}
    write_split(tmp_path / "train", {12: annotation({"item1": odd, "item2": item(9, 0)}, "shop", 7)})
    ingest("train", str(tmp_path / "train"), str(tmp_path / "r"), jobs=1)
    run_export(tmp_path / "r", "deepfashion2", tmp_path / "out")
    assert (tmp_path / "out" / "train" / "annos" / "000012.json").read_text() == GOLDEN


@settings(max_examples=6, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(drawn=st.lists(annotations(), min_size=12, max_size=12))
def test_any_annotation_is_restored(drawn: list[dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("any")
    files: dict[int | str, Any] = dict(enumerate(drawn, start=1))
    ingest("train", str(write_split(folder / "train", files)), str(folder / "r"), jobs=1)
    run_export(folder / "r", "deepfashion2", folder / "out")
    assert contents(folder / "out" / "train" / "annos") == contents(folder / "train" / "annos")


@pytest.mark.parametrize("split", ["train", "validation"])
def test_the_real_samples_are_restored(split: str, real_samples: Path, tmp_path: Path) -> None:
    ingest(split, str(real_samples / split), str(tmp_path / "r"), jobs=1)
    run_export(tmp_path / "r", "deepfashion2", tmp_path / "out")
    assert contents(tmp_path / "out" / split / "annos") == contents(real_samples / split / "annos")


def test_the_export_is_a_release_that_gives_the_same_registry(
    drawn: Path, drawn_registry: Path, tmp_path: Path
) -> None:
    run_export(drawn_registry, "deepfashion2", tmp_path / "out", images="copy", photos=drawn)
    for split in ("train", "validation", "test"):
        ingest(split, str(tmp_path / "out"), str(tmp_path / "r"), jobs=1)
    actual, expected = registry.open(str(tmp_path / "r")), registry.open(str(drawn_registry))
    for table in ("images", "items"):
        # Whose photos those of test are is told by the retrieval files alone.
        query = f"SELECT * FROM {table} WHERE split <> 'test' ORDER BY split, image_id" + (
            ", item_no" if table == "items" else ""
        )
        assert actual.sql(query).fetchall() == expected.sql(query).fetchall()
    sizes = "SELECT split, image_id, width, height FROM images ORDER BY ALL"
    assert actual.sql(sizes).fetchall() == expected.sql(sizes).fetchall()


def test_a_part_of_several_splits_can_be_ingested(exportable: Path, release: Path, tmp_path: Path) -> None:
    resplit = Resplit.parse("train=0.5,validation=0.5", 0)
    subset = {"split": ["train", "validation"]}
    run_export(
        exportable, "deepfashion2", tmp_path / "out", subset=subset, resplit=resplit, images="copy", photos=release
    )
    for split in ("train", "validation"):
        ingest(split, str(tmp_path / "out"), str(tmp_path / "r"), jobs=1)
    new, old = registry.open(str(tmp_path / "r")), registry.open(str(exportable))
    counts = "SELECT count(*), count(DISTINCT (split, pair_id, style)) FROM items"
    assert new.sql(counts).fetchall() == old.sql(counts).fetchall()
    pairs = "SELECT count(*) FROM instance_pairs"
    assert new.sql(pairs).fetchall() == old.sql(pairs).fetchall()
    assert {path.name for path in (tmp_path / "out").rglob("*2000001.json")} == {"2000001.json"}


def test_only_the_chosen_items_of_an_image_are_in_its_file(exportable: Path, tmp_path: Path) -> None:
    run_export(exportable, "deepfashion2", tmp_path / "out", subset={"split": "train", "category": "trousers"})
    actual = contents(tmp_path / "out" / "train" / "annos")
    assert {name: items for name, (_, items) in actual.items()} == {"000001.json": ["item2"], "000004.json": ["item1"]}


def count_items(document: dict[str, Any]) -> int:
    """Return the number of items as loaders count them: item1, item2, ... until there is none."""
    number = 0
    while f"item{number + 1}" in document:
        number += 1
    return number


def test_items_of_a_subset_are_numbered_without_gaps_if_asked_for(tmp_path: Path) -> None:
    files: dict[int | str, Any] = {
        1: annotation([item(1, 1), item(9, 1), item(2, 1), item(9, 2)]),
        2: annotation([item(9, 1), item(9, 2)]),
    }
    ingest("train", str(write_split(tmp_path / "train", files)), str(tmp_path / "r"), jobs=1)
    subset = {"category": "skirt"}
    kept = run_export(tmp_path / "r", "deepfashion2", tmp_path / "kept", subset=subset)
    first, second = (json.loads((tmp_path / "kept/train/annos" / f"00000{k}.json").read_bytes()) for k in (1, 2))
    assert [key for key in first if key.startswith("item")] == ["item2", "item4"]
    assert (count_items(first), count_items(second), kept.left_out) == (0, 2, [])
    manifest = run_export(tmp_path / "r", "deepfashion2", tmp_path / "out", subset=subset, renumber=True)
    counted = contents(tmp_path / "out" / "train" / "annos")
    assert [count_items(document) for document, _ in counted.values()] == [2, 2]
    numbered = counted["000001.json"][0]
    assert (numbered["item1"], numbered["item2"]) == (first["item2"], first["item4"])
    assert counted["000002.json"] == contents(tmp_path / "train" / "annos")["000002.json"], "all its items: as it was"
    assert manifest.options == {"renumber": True}
    why = "have another number than in the release, as --renumber counts those of each image from 1"
    assert manifest.left_out == [{"what": "items", "why": why, "number": 2}]
