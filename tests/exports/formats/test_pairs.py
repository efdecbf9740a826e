"""Pairs: their exact text, and that negatives keep to their rules whatever the registry holds."""

from __future__ import annotations

import json
import random
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import registry
from registry.ingest.build import ingest
from registry.store import pairs as pairs_module
from registry.subset.resplit import Resplit
from tests.exports.releases import run_export
from tests.helpers import annotation, item, write_split

HEADER = (
    "split,pair_no,label,kind,user_path,user_image_id,user_item_no,user_pair_id,user_style,user_category_id,"
    "user_x1,user_y1,user_x2,user_y2,shop_path,shop_image_id,shop_item_no,shop_pair_id,shop_style,shop_category_id,"
    "shop_x1,shop_y1,shop_x2,shop_y2\n"
)
#: Of the pair_id 1: styles 1 and 2 on both sides; the shop items of style 1 have the categories 1 and 10.
TRAIN = (
    HEADER
    + """\
train,1,1,positive,train/image/000001.jpg,1,2,1,2,8,10.0,20.0,110.0,220.0,\
train/image/000004.jpg,4,1,1,2,8,10.0,20.0,110.0,220.0
train,1,0,hard,train/image/000001.jpg,1,2,1,2,8,10.0,20.0,110.0,220.0,\
train/image/000004.jpg,4,2,1,1,10,10.0,20.0,110.0,220.0
train,1,0,hard,train/image/000001.jpg,1,2,1,2,8,10.0,20.0,110.0,220.0,\
train/image/000003.jpg,3,1,1,1,1,10.0,20.0,110.0,220.0
train,2,1,positive,train/image/000001.jpg,1,1,1,1,1,10.0,20.0,110.0,220.0,\
train/image/000003.jpg,3,1,1,1,1,10.0,20.0,110.0,220.0
train,2,0,hard,train/image/000001.jpg,1,1,1,1,1,10.0,20.0,110.0,220.0,\
train/image/000004.jpg,4,1,1,2,8,10.0,20.0,110.0,220.0
train,3,1,positive,train/image/000001.jpg,1,1,1,1,1,10.0,20.0,110.0,220.0,\
train/image/000004.jpg,4,2,1,1,10,10.0,20.0,110.0,220.0
train,3,0,hard,train/image/000001.jpg,1,1,1,1,1,10.0,20.0,110.0,220.0,\
train/image/000004.jpg,4,1,1,2,8,10.0,20.0,110.0,220.0
train,4,1,positive,train/image/000002.jpg,2,2,1,1,9,10.0,20.0,110.0,220.0,\
train/image/000003.jpg,3,1,1,1,1,10.0,20.0,110.0,220.0
train,4,0,hard,train/image/000002.jpg,2,2,1,1,9,10.0,20.0,110.0,220.0,\
train/image/000004.jpg,4,1,1,2,8,10.0,20.0,110.0,220.0
train,5,1,positive,train/image/000002.jpg,2,2,1,1,9,10.0,20.0,110.0,220.0,\
train/image/000004.jpg,4,2,1,1,10,10.0,20.0,110.0,220.0
train,5,0,hard,train/image/000002.jpg,2,2,1,1,9,10.0,20.0,110.0,220.0,\
train/image/000004.jpg,4,1,1,2,8,10.0,20.0,110.0,220.0
"""
)
VALIDATION = (
    HEADER
    + """\
validation,1,1,positive,validation/image/000001.jpg,1,1,1,1,7,10.0,20.0,110.0,220.0,\
validation/image/000002.jpg,2,1,1,1,7,10.0,20.0,110.0,220.0
"""
)

Row = dict[str, Any]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry of two splits with 12 pair_ids each: rare and frequent categories, styles 0 to 3."""
    folder = tmp_path_factory.mktemp("many")
    draw = random.Random(5)
    for split in ("train", "validation"):
        annotations: dict[int | str, Any] = {}
        for pair_id in range(1, 13):
            for _ in range(draw.randint(2, 9)):
                drawn = [item(draw.choice((1, 1, 1, 2, 2, 8)), draw.randint(0, 3)) for _ in range(draw.randint(1, 3))]
                annotations[len(annotations) + 1] = annotation(drawn, draw.choice(("user", "shop")), pair_id)
        # A category whose shop items all have the same pair_id.
        annotations[len(annotations) + 1] = annotation([item(13, 7)], "user", 12)
        annotations[len(annotations) + 1] = annotation([item(13, 7), item(13, 0)], "shop", 12)
        ingest(split, str(write_split(folder / split, annotations)), str(folder / "r"), jobs=1)
    return folder / "r"


def paths(folder: Path, kind: str = "parquet") -> list[Path]:
    """Return the files of an export, train first."""
    return sorted((folder / "data").glob(f"*.{kind}"))


def read(folder: Path, part: str = "*") -> list[Row]:
    """Return the rows of a part, or of all."""
    files = sorted((folder / "data").glob(f"{part}-00000-of-00001.parquet"))
    return [row for path in files for row in pq.read_table(path).to_pylist()]


def key(row: Row, side: str) -> tuple[Any, ...]:
    return row["split"], row[f"{side}_image_id"], row[f"{side}_item_no"]


def by_pair(rows: list[Row]) -> dict[tuple[str, int], list[Row]]:
    actual: dict[tuple[str, int], list[Row]] = defaultdict(list)
    for row in rows:
        actual[row["split"], row["pair_no"]].append(row)
    return actual


def test_the_rows_of_a_small_registry(exportable: Path, tmp_path: Path) -> None:
    options = {"as": "csv", "negatives": 1, "hard-negatives": 2}
    manifest = run_export(exportable, "pairs", tmp_path / "out", **options)
    assert {path.name: path.read_text() for path in paths(tmp_path / "out", "csv")} == {
        "train-00000-of-00001.csv": TRAIN,
        "validation-00000-of-00001.csv": VALIDATION,
    }
    assert "1 part has no rows and so no file: test" in manifest.notices
    assert {part: dict(counts) for part, counts in manifest.counts.items()} == {
        "train": {"images": 5, "items": 8, "pairs": 5, "hard_negatives": 6, "negatives": 0},
        "validation": {"images": 2, "items": 2, "pairs": 1, "hard_negatives": 0, "negatives": 0},
        "test": {"images": 2, "items": 0, "pairs": 0, "hard_negatives": 0, "negatives": 0},
    }
    fewer_hard = "are missing: fewer shop items of another style of the pair_id than asked for"
    fewer = "are missing: fewer shop items of the category with another pair_id than asked for"
    assert [tuple(entry.values()) for entry in manifest.left_out] == [
        ("hard negatives of train", fewer_hard, 4),
        ("hard negatives of validation", fewer_hard, 2),
        ("negatives of train", fewer, 5),
        ("negatives of validation", fewer, 1),
    ]


def test_without_negatives_the_pairs_equal_the_view(many: Path, tmp_path: Path) -> None:
    manifest = run_export(many, "pairs", tmp_path / "out")
    rows = read(tmp_path / "out")
    columns = "split, user_image_id, user_item_no, shop_image_id, shop_item_no"
    expected = registry.open(str(many)).sql(f"SELECT {columns} FROM instance_pairs").fetchall()
    actual = [(*key(row, "user"), *key(row, "shop")[1:]) for row in rows]
    assert sorted(actual) == sorted(expected)
    assert {(row["label"], row["kind"]) for row in rows} == {(1, "positive")}
    assert {part: counts["pairs"] for part, counts in manifest.counts.items()} == Counter(row["split"] for row in rows)
    numbers = [(row["split"], row["pair_no"]) for row in rows]
    assert numbers == [(split, no) for split in manifest.counts for no in range(1, manifest.counts[split]["pairs"] + 1)]


@pytest.mark.parametrize(("negatives", "hard_negatives"), [(3, 0), (0, 2), (1, 1), (4, 3), (1000, 1000)])
def test_negatives_follow_their_rules(negatives: int, hard_negatives: int, many: Path, tmp_path: Path) -> None:
    options = {"negatives": negatives, "hard-negatives": hard_negatives}
    manifest = run_export(many, "pairs", tmp_path / "out", **options)
    shops = registry.open(str(many)).sql(
        "SELECT split, image_id, item_no, pair_id, style, category_id FROM items WHERE source = 'shop'"
    )
    of_split: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for shop in shops.fetchall():
        of_split[shop[0]].append(shop)
    missing: Counter[str] = Counter()
    for (split, _), (first, *rest) in by_pair(read(tmp_path / "out")).items():
        pair_id, style, category_id = first["user_pair_id"], first["user_style"], first["shop_category_id"]
        assert (first["label"], first["kind"]) == (1, "positive")
        assert (first["shop_pair_id"], first["shop_style"]) == (pair_id, style)
        assert {key(row, "user") for row in rest} <= {key(first, "user")}
        assert {row["label"] for row in rest} <= {0}
        category = {shop[:3] for shop in of_split[split] if shop[5] == category_id and shop[3] != pair_id}
        hard = {shop[:3]: shop[5] for shop in of_split[split] if shop[3] == pair_id and shop[4] not in (0, style)}
        chosen = [key(row, "shop") for row in rest if row["kind"] == "category"]
        assert len(chosen) == len(set(chosen)) == min(negatives, len(category))
        assert set(chosen) <= category
        chosen = [key(row, "shop") for row in rest if row["kind"] == "hard"]
        assert len(chosen) == len(set(chosen)) == min(hard_negatives, len(hard))
        assert set(chosen) <= set(hard)
        near = sum(hard[shop] == category_id for shop in chosen)
        assert near == min(hard_negatives, sum(actual == category_id for actual in hard.values()))
        assert all(hard[shop] == category_id for shop in chosen[:near])
        missing[f"negatives of {split}"] += negatives - min(negatives, len(category))
        missing[f"hard negatives of {split}"] += hard_negatives - min(hard_negatives, len(hard))
    assert {entry["what"]: entry["number"] for entry in manifest.left_out} == +missing


def test_negatives_are_spread_over_all_candidates(many: Path, tmp_path: Path) -> None:
    run_export(many, "pairs", tmp_path / "out", subset={"split": "train"}, negatives=2)
    rows = [row for row in read(tmp_path / "out") if row["kind"] == "category" and row["shop_category_id"] == 1]
    used = Counter(key(row, "shop") for row in rows)
    shops = "SELECT count(*) FROM items WHERE split = 'train' AND source = 'shop' AND category_id = 1"
    ((candidates,),) = registry.open(str(many)).sql(shops).fetchall()
    assert len(used) > candidates * 0.8
    assert max(used.values()) < 5 * len(rows) / candidates


def test_negatives_depend_only_on_the_seed(many: Path, tmp_path: Path) -> None:
    options = {"negatives": 2, "hard-negatives": 1}
    first = run_export(many, "pairs", tmp_path / "first", **options)
    assert run_export(many, "pairs", tmp_path / "second", **options) == first
    other = run_export(many, "pairs", tmp_path / "other", **options, **{"negative-seed": 1})
    assert other.counts == first.counts
    rows, rest = read(tmp_path / "first"), read(tmp_path / "other")
    assert [row for row in rows if row["label"]] == [row for row in rest if row["label"]]
    for kind in ("category", "hard"):
        assert [row for row in rows if row["kind"] == kind] != [row for row in rest if row["kind"] == kind]


def test_rows_do_not_depend_on_block_and_batch_size(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"negatives": 2, "hard-negatives": 1, "as": "jsonl"}
    run_export(many, "pairs", tmp_path / "whole", **options)
    monkeypatch.setattr(pairs_module, "_BLOCK_ROWS", 50)
    monkeypatch.setattr(pairs_module, "_BATCH_ROWS", 7)
    run_export(many, "pairs", tmp_path / "small", **options)
    whole = [path.read_bytes() for path in paths(tmp_path / "whole", "jsonl")]
    assert [path.read_bytes() for path in paths(tmp_path / "small", "jsonl")] == whole != []


def test_every_kind_of_file_has_the_same_rows(many: Path, tmp_path: Path) -> None:
    for kind in ("parquet", "csv", "jsonl"):
        run_export(many, "pairs", tmp_path / kind, negatives=1, **{"as": kind})
    rows = read(tmp_path / "parquet")
    lines = [line for path in paths(tmp_path / "jsonl", "jsonl") for line in path.read_text().splitlines()]
    assert [json.loads(line) for line in lines] == rows
    tables = [pyarrow.csv.read_csv(path) for path in paths(tmp_path / "csv", "csv")]
    assert [row for table in tables for row in table.to_pylist()] == rows


@pytest.mark.parametrize(
    "subset",
    [
        {"category": "short sleeve top"},
        {"sample": "50%"},
        {"split": "validation", "style": "1-2"},
        {"source": "user"},
        {"paired": True},
    ],
)
def test_pairs_and_negatives_stay_inside_the_subset(subset: dict[str, Any], many: Path, tmp_path: Path) -> None:
    run_export(many, "pairs", tmp_path / "out", subset=subset, negatives=3, **{"hard-negatives": 3})
    run_export(many, "jsonl", tmp_path / "items", subset=subset)
    lines = [line for path in paths(tmp_path / "items", "jsonl") for line in path.read_text().splitlines()]
    items = {(i["split"], i["image_id"], i["item_no"]): i for i in map(json.loads, lines)}
    rows = read(tmp_path / "out")
    assert {key(row, side) for row in rows for side in ("user", "shop")} <= set(items)
    for row in rows:
        for side in ("user", "shop"):
            actual = items[key(row, side)]
            assert actual["source"] == side
            for name in ("pair_id", "style", "category_id", "x1", "y1", "x2", "y2"):
                assert row[f"{side}_{name}"] == actual[name]
    sides: dict[tuple[Any, ...], Counter[str]] = defaultdict(Counter)
    for (split, _, _), actual in items.items():
        if actual["style"] > 0:
            sides[split, actual["pair_id"], actual["style"]][actual["source"]] += 1
    assert sum(row["label"] for row in rows) == sum(count["user"] * count["shop"] for count in sides.values())


def test_parts_of_a_resplit_have_their_own_pairs(many: Path, tmp_path: Path) -> None:
    resplit = Resplit.parse("fit=0.6,held=0.4")
    run_export(many, "pairs", tmp_path / "whole")
    run_export(many, "pairs", tmp_path / "out", resplit=resplit, negatives=2)
    parts = {name: read(tmp_path / "out", name) for name in ("fit", "held")}
    groups = {
        name: {(row["split"], row[f"{side}_pair_id"]) for row in rows for side in ("user", "shop")}
        for name, rows in parts.items()
    }
    assert not groups["fit"] & groups["held"]
    assert {split for split, _ in groups["fit"]} == {"train", "validation"}
    positives = [row for rows in parts.values() for row in rows if row["label"]]
    whole = {(key(row, "user"), key(row, "shop")) for row in read(tmp_path / "whole")}
    assert {(key(row, "user"), key(row, "shop")) for row in positives} == whole
    assert len(positives) == len(whole)


def test_photos_in_the_export_are_named_from_the_rows(exportable: Path, release: Path, tmp_path: Path) -> None:
    for name, resplit in (("splits", None), ("anew", Resplit.parse("fit=0.5,held=0.5", 1))):
        out = tmp_path / name
        run_export(exportable, "pairs", out, images="link", photos=release, resplit=resplit)
        rows = read(out)
        assert len(rows) == 6
        for row in rows:
            for side in ("user", "shop"):
                target = (out / row[f"{side}_path"]).resolve()
                assert target == release / row["split"] / "image" / f"{row[f'{side}_image_id']:06d}.jpg"
                assert target.is_file()


@pytest.mark.parametrize("kind", ["parquet", "csv", "jsonl"])
def test_an_empty_subset_gives_a_file_with_no_rows(kind: str, exportable: Path, tmp_path: Path) -> None:
    options = {"as": kind, "negatives": 1, "hard-negatives": 1}
    manifest = run_export(exportable, "pairs", tmp_path / "out", subset={"category": "sling"}, **options)
    assert manifest.left_out == []
    path = paths(tmp_path / "out", kind)[0]
    if kind == "parquet":
        assert pq.read_table(path).num_rows == 0
        assert pq.read_schema(path).names == HEADER.strip().split(",")
    else:
        assert path.read_text() == (HEADER if kind == "csv" else "")
