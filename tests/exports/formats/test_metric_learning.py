"""The CSV of Open Metric Learning: exact text, rules, and items left out."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from registry.errors import UsageError
from registry.ingest.build import ingest
from registry.subset.resplit import Resplit
from tests.exports.oml_rules import check_csv
from tests.exports.releases import run_export
from tests.helpers import annotation, item, jpeg, write_split

HEADER = (
    "label,path,split,is_query,is_gallery,x_1,y_1,x_2,y_2,category,"
    "released_split,image_id,item_no,source,pair_id,style,category_name\n"
)
#: The three users and shop items of style 1 have the categories 1, 9, 1 and 10: the label's is 1. Style 0 and the empty
#: box of image 7 are not here.
GOLDEN = (
    HEADER
    + """\
1000001002,train/image/000001.jpg,train,,,10,20,110,220,trousers,train,1,2,user,1,2,trousers
1000001001,train/image/000001.jpg,train,,,10,20,110,220,short sleeve top,train,1,1,user,1,1,short sleeve top
1000001001,train/image/000002.jpg,train,,,10,20,110,220,short sleeve top,train,2,2,user,1,1,skirt
1000001001,train/image/000003.jpg,train,,,10,20,110,220,short sleeve top,train,3,1,shop,1,1,short sleeve top
1000001001,train/image/000004.jpg,train,,,10,20,110,220,short sleeve top,train,4,2,shop,1,1,short sleeve dress
1000001002,train/image/000004.jpg,train,,,10,20,110,220,trousers,train,4,1,shop,1,2,trousers
2000001001,validation/image/000001.jpg,validation,True,False,10,20,110,220,shorts,validation,1,1,user,1,1,shorts
2000001001,validation/image/000002.jpg,validation,False,True,10,20,110,220,shorts,validation,2,1,shop,1,1,shorts
"""
)


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, strict=True))


def make(
    folder: Path, split: str, annotations: Mapping[int | str, Any], photos: Mapping[int | str, bytes] | None = None
) -> Path:
    """Add a split to the registry in ``folder / "r"`` and return it."""
    ingest(split, str(write_split(folder / split, annotations, photos or {})), str(folder / "r"), jobs=1)
    return folder / "r"


def test_train_has_identities_and_validation_queries_and_a_gallery(
    exportable: Path, release: Path, tmp_path: Path
) -> None:
    manifest = run_export(exportable, "metric-learning", tmp_path / "out")
    assert [file.path for file in manifest.files] == ["metric_learning.csv"]
    assert (tmp_path / "out" / "metric_learning.csv").read_text() == GOLDEN
    assert {part: dict(counts) for part, counts in manifest.counts.items()} == {
        "train": {"images": 5, "items": 8, "rows": 6, "labels": 2},
        "validation": {"images": 2, "items": 2, "queries": 1, "gallery": 1},
        "test": {"images": 2, "items": 0},
    }
    assert [tuple(entry.values()) for entry in manifest.left_out] == [
        ("items of style 0 in train", "were left out: no identity, so no label", 1),
        ("items of train", "were left out: the box holds no pixel of the photo", 1),
    ]
    check_csv(tmp_path / "out" / "metric_learning.csv", release)


@pytest.mark.parametrize("images", ["link", "copy"])
def test_photos_in_the_export_are_named_from_the_csv(
    images: str, exportable: Path, release: Path, tmp_path: Path
) -> None:
    resplit = Resplit.parse("train=0.5,val=0.3,extra=0.2", 3)
    run_export(exportable, "metric-learning", tmp_path / "out", images=images, photos=release, resplit=resplit)
    paths = set()
    for path in (tmp_path / "out").glob("*.csv"):
        check_csv(path, tmp_path / "out")
        paths |= {row["path"] for row in rows_of(path)}
    photos = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").glob("images/*/*.jpg")}
    assert paths < photos


def test_a_label_is_the_same_in_every_export(exportable: Path, tmp_path: Path) -> None:
    resplit = Resplit.parse("train=0.5,val=0.3,extra=0.2", 3)
    run_export(exportable, "metric-learning", tmp_path / "all")
    run_export(exportable, "metric-learning", tmp_path / "some", subset={"split": "train", "style": 2})
    run_export(exportable, "metric-learning", tmp_path / "anew", resplit=resplit)
    labels: dict[tuple[str, ...], str] = {}
    for path in sorted(tmp_path.glob("*/*.csv")):
        for row in rows_of(path):
            key = (row["released_split"], row["image_id"], row["item_no"])
            assert labels.setdefault(key, row["label"]) == row["label"]
    assert len(labels) == 8


def test_shop_items_of_style_0_are_distractors_with_labels_of_their_own(tmp_path: Path) -> None:
    folder = make(
        tmp_path,
        "validation",
        {
            1: annotation([item(1, 1), item(2, 0), item(3, 4)], "user", 1),
            2: annotation([item(1, 0), item(5, 0)], "shop", 1),
            3: annotation([item(1, 1), item(6, 2)], "shop", 1),
        },
    )
    manifest = run_export(folder, "metric-learning", tmp_path / "out")
    rows = rows_of(tmp_path / "out" / "metric_learning.csv")
    assert [(row["label"], row["is_query"], row["is_gallery"], row["item_no"]) for row in rows] == [
        ("2000001001", "True", "False", "1"),
        ("5000002002", "False", "True", "2"),
        ("5000002001", "False", "True", "1"),
        ("2000001002", "False", "True", "2"),
        ("2000001001", "False", "True", "1"),
    ]
    assert [tuple(entry.values()) for entry in manifest.left_out] == [
        ("consumer items of style 0 in validation", "were left out: no identity to look for", 1),
        (
            "queries of validation",
            "were left out: no item of the identity in the gallery, which Open Metric Learning does not take",
            1,
        ),
    ]
    check_csv(tmp_path / "out" / "metric_learning.csv")


def box(*corners: float, category_id: int = 1, style: int = 1) -> dict[str, Any]:
    return item(category_id, style, bounding_box=list(corners))


def test_boxes_become_whole_pixels_inside_the_photo(tmp_path: Path) -> None:
    boxes = [box(1.2, 2.7, 9.1, 9.9), box(-0.5, -7, 40.5, 99), box(3, 4, 5, 6), box(39.5, 0, 40.5, 1)]
    empty = [box(40, 0, 50, 9), box(5, 5, 5, 9), box(-5, 0, 0, 9), box(9, 0, 8, 5)]
    folder = make(tmp_path, "train", {1: annotation(boxes + empty, "user", 1)}, {1: jpeg(40, 30)})
    manifest = run_export(folder, "metric-learning", tmp_path / "out")
    corners = {
        row["item_no"]: tuple(int(row[name]) for name in ("x_1", "y_1", "x_2", "y_2"))
        for row in rows_of(tmp_path / "out" / "metric_learning.csv")
    }
    assert corners == {"1": (1, 2, 10, 10), "2": (0, 0, 40, 30), "3": (3, 4, 5, 6), "4": (39, 0, 40, 1)}
    why = "were rounded outwards to whole pixels and cut at the edges of the photo, as Open Metric Learning takes them"
    assert [tuple(entry.values()) for entry in manifest.left_out] == [
        ("boxes of train", why, 3),
        ("items of train", "were left out: the box holds no pixel of the photo", 4),
    ]
    check_csv(tmp_path / "out" / "metric_learning.csv")


def test_a_box_is_not_cut_at_unknown_edges(tmp_path: Path) -> None:
    folder = make(tmp_path, "train", {1: annotation([box(-3, 2, 5000, 6000)], "user", 1)})
    run_export(folder, "metric-learning", tmp_path / "out")
    assert ",0,2,5000,6000," in (tmp_path / "out" / "metric_learning.csv").read_text()


def test_a_query_whose_only_answer_has_no_sound_box_is_left_out(tmp_path: Path) -> None:
    folder = make(
        tmp_path,
        "validation",
        {1: annotation([item(1, 1)], "user", 1), 2: annotation([box(0, 0, 0, 0)], "shop", 1)},
    )
    run_export(folder, "metric-learning", tmp_path / "out")
    assert (tmp_path / "out" / "metric_learning.csv").read_text() == HEADER


def test_a_label_has_its_most_frequent_category_and_ties_go_to_the_lowest_id(tmp_path: Path) -> None:
    folder = make(
        tmp_path,
        "train",
        {
            1: annotation([item(11, 1), item(9, 2)], "user", 1),
            2: annotation([item(2, 1), item(9, 2)], "user", 1),
            3: annotation([item(4, 2)], "shop", 1),
        },
    )
    run_export(folder, "metric-learning", tmp_path / "out")
    rows = rows_of(tmp_path / "out" / "metric_learning.csv")
    assert {(row["style"], row["category"]) for row in rows} == {("1", "long sleeve top"), ("2", "skirt")}
    assert {row["category_name"] for row in rows} == {
        "long sleeve dress",
        "skirt",
        "long sleeve top",
        "long sleeve outwear",
    }
    check_csv(tmp_path / "out" / "metric_learning.csv")


def test_every_other_part_has_its_own_file_and_gallery(tmp_path: Path) -> None:
    annotations = {
        2 * pair_id + is_shop: annotation([item(1, 1)], "shop" if is_shop else "user", pair_id)
        for pair_id in range(1, 40)
        for is_shop in (0, 1)
    }
    folder = make(tmp_path, "train", annotations)
    for fractions, files in (
        ("train=0.4,val=0.3,test=0.3", {"metric_learning": ("train", "val"), "metric_learning-test": ("test",)}),
        (
            "val=0.4,validation=0.3,B=0.3",
            {"metric_learning": ("val",), "metric_learning-validation": ("validation",), "metric_learning-B": ("B",)},
        ),
    ):
        out = tmp_path / fractions
        manifest = run_export(folder, "metric-learning", out, resplit=Resplit.parse(fractions))
        assert {path.stem for path in out.glob("*.csv")} == set(files)
        for name, parts in files.items():
            check_csv(out / f"{name}.csv")
            rows = rows_of(out / f"{name}.csv")
            assert len(rows) == sum(manifest.counts[part]["items"] for part in parts)
            assert {row["split"] for row in rows} == {"train" if part == "train" else "validation" for part in parts}


def test_an_empty_subset_gives_a_header(exportable: Path, tmp_path: Path) -> None:
    run_export(exportable, "metric-learning", tmp_path / "out", subset={"category": "sling"})
    assert (tmp_path / "out" / "metric_learning.csv").read_text() == HEADER


@pytest.mark.parametrize(
    ("image_id", "pair_id", "changes", "message"),
    [
        (1, 1_000_000, {}, r"The pair_id 1000000 of train is too high for a label: expected below 1,000,000\."),
        (1_000_000, 1, {}, r"The image_id 1000000 of train is too high"),
        (1, 1, {"style": 1000}, r"The style 1000 of train is too high for a label: expected below 1,000\."),
    ],
)
def test_a_number_that_a_label_cannot_hold_is_refused(
    image_id: int, pair_id: int, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    folder = make(tmp_path, "train", {image_id: annotation([item(1, **changes)], "user", pair_id)})
    with pytest.raises(UsageError, match=message):
        run_export(folder, "metric-learning", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def single_labels(path: Path) -> set[str]:
    """Return the labels of train with a single item, at which OML's BalanceSampler stops.

    Source: ``oml/samplers/balance.py`` of Open Metric Learning 4.0: as many instances of a label as it draws.
    """
    counts = Counter(row["label"] for row in rows_of(path) if row["split"] == "train")
    return {label for label, number in counts.items() if number < 2}


def test_labels_with_a_single_item_are_counted_and_left_out_on_request(drawn_registry: Path, tmp_path: Path) -> None:
    plain = run_export(drawn_registry, "metric-learning", tmp_path / "all")
    single = single_labels(tmp_path / "all" / "metric_learning.csv")
    assert len(single) > 1
    why = "a single item, at which samplers such as OML's BalanceSampler stop: --min-items-per-label 2 leaves them out"
    assert f"{len(single)} labels of train have {why}" in plain.notices

    balanced = run_export(drawn_registry, "metric-learning", tmp_path / "two", min_items_per_label=2)
    assert not single_labels(tmp_path / "two" / "metric_learning.csv")
    assert not any("single item" in notice for notice in balanced.notices)
    assert balanced.counts["train"]["labels"] == plain.counts["train"]["labels"] - len(single)
    assert f"{len(single)} items of train were left out: fewer than 2 items of the label" in balanced.notices
    rows = [row for row in rows_of(tmp_path / "all" / "metric_learning.csv") if row["label"] not in single]
    assert rows_of(tmp_path / "two" / "metric_learning.csv") == rows
    check_csv(tmp_path / "two" / "metric_learning.csv")
