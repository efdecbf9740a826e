"""The rows of a subset, compared with the same rules in plain Python."""

from __future__ import annotations

import hashlib
import json
import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import registry
from registry.dataset.deepfashion2 import SPLITS
from registry.dataset.tables import IMAGE_COLUMNS, IMAGES, ITEMS, arrow_schema
from registry.errors import RegistryFormatError, UnknownNameError, UsageError
from registry.ingest.build import ingest
from registry.store import chunks as chunks_module
from registry.store.registry import Registry
from registry.store.selection import Selection
from registry.subset.options import Subset
from registry.subset.resplit import Resplit
from registry.subset.rows import Part
from tests.helpers import annotation, item, landmarks, write_split

COLUMNS = [column.name for column in ITEMS.columns if column.name not in ("landmarks", "segmentation")]
Row = dict[str, Any]


def random_split(rng: random.Random, images: int) -> dict[int | str, Any]:
    """Return annotations with many pairs: few groups, styles and categories."""
    actual: dict[int | str, Any] = {}
    for image_id in rng.sample(range(1, 2 * images), images):
        rows = []
        for _ in range(rng.choice([1, 1, 2, 3])):
            category = rng.choice([1, 8, 9, 13])
            x, y = rng.randint(0, 50), rng.randint(0, 50)
            box = [x, y, x + rng.randint(0, 40), y + rng.randint(1, 40)]
            codes = {name: rng.randint(1, 3) for name in ("scale", "occlusion", "zoom_in", "viewpoint")}
            points = landmarks(category, rng.choice([0, 2]))
            rows.append(item(category, rng.randint(0, 2), bounding_box=box, landmarks=points, **codes))
        actual[image_id] = annotation(rows, rng.choice(["user", "shop"]), rng.randint(1, 8))
    return actual


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return a registry of random annotations, with photos alone in test."""
    folder = tmp_path_factory.mktemp("random")
    rng = random.Random(7)
    for split, images in (("train", 40), ("validation", 25)):
        ingest(split, str(write_split(folder / split, random_split(rng, images))), str(folder / "r"), jobs=1)
    source = write_split(folder / "test", {}, {1: b"", 2: b""})
    ingest("test", str(source), str(folder / "r"), jobs=1, image_sizes=False)
    return registry.open(str(folder / "r"))


@pytest.fixture(scope="module")
def rows(opened: Registry) -> list[Row]:
    """Return all items in order of split, image and file order."""
    relation = opened.sql(f"SELECT {', '.join(COLUMNS)} FROM items")
    actual = [dict(zip(COLUMNS, row, strict=True)) for row in relation.fetchall()]
    return sorted(actual, key=lambda row: (SPLITS.index(row["split"]), row["image_id"], row["item_order"]))


def chosen(selection: Selection) -> list[Row]:
    """Return the items of a selection as its chunks give them."""
    actual: list[Row] = []
    for part in selection.parts:
        for chunk in selection.chunks(part, COLUMNS):
            actual += chunk.items.to_pylist()
            assert sum(chunk.num_items) == chunk.items.num_rows
    return actual


def md5(*values: object) -> str:
    return hashlib.md5("/".join(map(str, values)).encode()).hexdigest()


def expected(rows: list[Row], subset: Subset) -> list[Row]:
    """Return the items of a subset by the rules its docstring states."""

    def in_ranges(number: int, ranges: Any) -> bool:
        return not ranges or any(low <= number <= high for low, high in ranges)

    def matches(row: Row) -> bool:
        lists = ("split", "source", "scale", "occlusion", "zoom_in", "viewpoint")
        area = (row["x2"] - row["x1"]) * (row["y2"] - row["y1"])
        return (
            all(not getattr(subset, name) or row[name] in getattr(subset, name) for name in lists)
            and (not subset.category or row["category_id"] in subset.category)
            and all(in_ranges(row[name], getattr(subset, name)) for name in ("style", "pair_id", "image_id"))
            and (not subset.has_landmarks or row["num_landmarks_labelled"] > 0)
            and (
                subset.min_box_area is None
                or (area >= subset.min_box_area and row["x2"] > row["x1"] and row["y2"] > row["y1"])
            )
            and (subset.where is None or row["x1"] + row["y1"] > 30)
        )

    def unit(row: Row) -> tuple[Any, ...]:
        if subset.paired:
            return row["split"], row["pair_id"], row["style"]
        return (row["split"], row["image_id"], row["item_no"])[: 2 if subset.whole_images else 3]

    actual = [row for row in rows if matches(row)]
    if subset.paired:
        sides = defaultdict(set)
        for row in actual:
            sides[unit(row)].add(row["source"])
        actual = [row for row in actual if row["style"] > 0 and len(sides[unit(row)]) == 2]
    units = list(dict.fromkeys(unit(row) for row in actual))
    if subset.paired:
        units.sort(key=lambda one: (SPLITS.index(one[0]), *one[1:]))
    if subset.sample:
        hashes = {one: md5(subset.seed, *one) for one in units}
        if subset.sample.endswith("%"):
            bound = int(float(subset.sample[:-1]) / 100 * 2**64)
            kept = {one for one in units if int(hashes[one][:16], 16) < bound}
        else:
            kept = set(sorted(units, key=lambda one: hashes[one])[: int(subset.sample)])
        units = [one for one in units if one in kept]
    if subset.limit is not None:
        units = units[: subset.limit]
    actual = [row for row in actual if unit(row) in set(units)]
    if subset.whole_images:
        images = {(row["split"], row["image_id"]) for row in actual}
        actual = [row for row in rows if (row["split"], row["image_id"]) in images]
    return actual


_numbers = st.integers(0, 30)
_ranges = st.lists(st.tuples(_numbers, _numbers).map(lambda pair: f"{min(pair)}-{max(pair)}"), max_size=2)
_codes = st.lists(st.integers(1, 3), max_size=2)
OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "split": st.lists(st.sampled_from(["train", "validation"]), max_size=2),
        "category": st.lists(st.sampled_from([1, 8, 9]), max_size=2),
        "source": st.lists(st.sampled_from(["user", "shop"]), max_size=1),
        "scale": _codes,
        "occlusion": _codes,
        "zoom_in": _codes,
        "viewpoint": _codes,
        "style": st.sampled_from(["1-", "0", "1-2"]),
        "pair_id": _ranges,
        "image_id": _ranges | st.lists(st.integers(1, 80), min_size=20, max_size=40).map(lambda ids: [*ids, "70-"]),
        "has_landmarks": st.just(True),
        "min_box_area": st.integers(0, 900),
        "where": st.just("x1 + y1 > 30 -- a comment"),
        "paired": st.just(True),
        "whole_images": st.just(True),
        "sample": st.integers(0, 40).map(str) | st.integers(0, 100).map(lambda share: f"{share}%"),
        "seed": st.integers(0, 3),
        "limit": st.integers(0, 30),
    },
)


@settings(max_examples=150)
@given(options=OPTIONS)
def test_a_subset_has_the_items_of_its_options(opened: Registry, rows: list[Row], options: Row) -> None:
    subset = Subset.of(**options)
    assert chosen(Selection(opened.snapshot(), subset)) == expected(rows, subset)


@pytest.mark.parametrize(
    ("options", "images"),
    [
        ({}, {"train": 40, "validation": 25, "test": 2}),
        ({"split": "test"}, {"test": 2}),
        ({"split": "test", "category": "skirt"}, {"test": 0}),
        ({"split": "test", "whole_images": True, "limit": 1}, {"test": 1}),
        ({"split": "test", "limit": 1}, {"test": 0}),
        ({"category": "sling"}, {"train": 0, "validation": 0, "test": 0}),
        ({"whole_images": True, "sample": "3"}, None),
    ],
)
def test_images_without_items_belong_to_subsets_that_do_not_pick_items(
    opened: Registry, options: Row, images: dict[str, int] | None
) -> None:
    selection = Selection(opened.snapshot(), Subset.of(**options))
    counts = {part.name: selection.counts(part)["images"] for part in selection.parts}
    if images is None:
        assert sum(counts.values()) == 3
    else:
        assert counts == images


def test_a_share_keeps_its_items_when_data_is_added(opened: Registry) -> None:
    def keys(**options: Any) -> set[tuple[Any, ...]]:
        actual = chosen(Selection(opened.snapshot(), Subset.of(sample="30%", seed=1, **options)))
        return {(row["split"], row["image_id"], row["item_no"]) for row in actual}

    assert keys(split="train") == {key for key in keys() if key[0] == "train"}
    assert keys(split="train") != set()


def test_chunks_are_whole_images_with_the_columns_of_the_tables(
    opened: Registry, rows: list[Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chunks_module, "READ_IMAGES", 15)
    monkeypatch.setattr(chunks_module, "CHUNK_IMAGES", 7)
    selection = Selection(opened.snapshot())
    actual: list[Row] = []
    for part in selection.parts:
        assert part == Part(part.name, (part.name,))
        for chunk in selection.chunks(part, [column.name for column in ITEMS.columns]):
            assert chunk.images.num_rows <= 7
            declared = arrow_schema(IMAGES, stored=False)
            assert chunk.images.schema.equals(
                pa.schema([declared.field(name) for name in (*IMAGE_COLUMNS, "orientation")])
            )
            assert chunk.items.schema.equals(arrow_schema(ITEMS, stored=False))
            owners = [
                i for i, n in zip(chunk.images["image_id"].to_pylist(), chunk.num_items, strict=True) for _ in range(n)
            ]
            assert chunk.items["image_id"].to_pylist() == owners
            actual += [{name: row[name] for name in COLUMNS} for row in chunk.items.to_pylist()]
    assert actual == rows
    alone, with_items = (next(selection.chunks(selection.parts[0], columns)) for columns in ([], ["style"]))
    assert alone.num_items == with_items.num_items


def test_the_summary_counts_the_rows_of_the_subset(opened: Registry) -> None:
    everything = Selection(opened.snapshot()).summary()
    totals = {row["part"]: row for row in everything if row["category_name"] is None}
    views = {row["split"]: row for row in opened.sql("SELECT * FROM split_counts").to_dicts()}
    for split, total in totals.items():
        assert total["images"] == views[split]["num_images"]
        assert total["items"] == views[split]["num_items"]
        assert total["instance_pairs"] == views[split]["num_instance_pairs"]
        assert total["image_pairs"] == views[split]["num_image_pairs"]
        assert total["identities"] == views[split]["num_identities"]
    users = Selection(opened.snapshot(), Subset.of(source="user", split="train")).summary()
    assert users[-1]["shop_items"] == users[-1]["instance_pairs"] == 0
    assert users[-1]["user_items"] == sum(row["user_items"] for row in users[:-1])


def test_items_are_the_rows_of_the_subset_as_a_relation(opened: Registry, rows: list[Row]) -> None:
    selection = opened.select(source="user", style="1-")
    assert selection.items(COLUMNS).to_dicts() == expected(rows, Subset.of(source="user", style="1-"))


@pytest.mark.parametrize("stratify", [False, True])
def test_a_new_division_cuts_no_group(opened: Registry, rows: list[Row], stratify: bool) -> None:
    selection = Selection(opened.snapshot(), resplit=Resplit.parse("fit=0.7,held=0.3", 3, stratify))
    assert [part.name for part in selection.parts] == ["fit", "held"]
    assert all(part.splits == ("train", "validation", "test") for part in selection.parts)
    part_of: dict[tuple[str, int], set[str]] = defaultdict(set)
    images: dict[tuple[str, int], set[str]] = defaultdict(set)
    actual = 0
    for part in selection.parts:
        for chunk in selection.chunks(part, ["split", "pair_id", "image_id"]):
            for row in chunk.items.to_pylist():
                part_of[row["split"], row["pair_id"]].add(part.name)
                actual += 1
            for image_id in chunk.images["image_id"].to_pylist():
                images[chunk.split, image_id].add(part.name)
    assert actual == len(rows)
    assert len(images) == 65  # not the photos of test, which have no annotation
    assert all(len(parts) == 1 for parts in [*part_of.values(), *images.values()])
    assert {row["part"] for row in selection.balance} == {"fit", "held"}


def test_numbers_and_names_of_several_splits_are_kept_apart() -> None:
    both, one = Part("fit", ("train", "validation")), Part("fit", ("validation",))
    assert [both.number("train", 7), both.number("validation", 7), one.number("validation", 7)] == [
        1_000_007,
        2_000_007,
        7,
    ]
    assert both.file_name("train", "000007.jpg") == "train_000007.jpg"
    assert one.file_name("validation", "000007.jpg") == "000007.jpg"
    with pytest.raises(UsageError, match="export one split at a time"):
        both.number("train", 1_000_000)


def test_splits_that_the_registry_lacks_are_an_error(opened: Registry, tmp_path: Path) -> None:
    ingest("train", str(write_split(tmp_path / "train", {1: annotation()})), str(tmp_path / "r"), jobs=1)
    small = registry.open(str(tmp_path / "r"))
    with pytest.raises(UnknownNameError, match="The split validation is not in the registry"):
        Selection(small.snapshot(), Subset.of(split="validation"))
    with pytest.raises(UsageError, match="hat"):
        Selection(opened.snapshot(), Subset.of(where="hat = 3"))


def test_a_replaced_registry_is_read_in_its_old_version_or_an_error(tmp_path: Path) -> None:
    source = write_split(tmp_path / "train", {1: annotation()})
    ingest("train", str(source), str(tmp_path / "r"), jobs=1)
    selection = Selection(registry.open(str(tmp_path / "r")).snapshot())
    (source / "annos" / "000001.json").write_text(json.dumps(annotation([item(9)])), encoding="utf-8")
    ingest("train", str(source), str(tmp_path / "r"), jobs=1)
    try:  # DuckDB has the blocks it read before; the file is gone
        (chunk,) = selection.chunks(selection.parts[0], ["category_id"])
        assert chunk.items.column("category_id").to_pylist() == [1]
    except RegistryFormatError as error:
        assert "If the registry was replaced meanwhile, start again" in str(error)


def test_ids_that_collide_in_a_part_are_an_error_before_any_work(tmp_path: Path) -> None:
    for split, image_id in (("train", 1_000_000), ("validation", 1)):
        source = write_split(tmp_path / split, {image_id: annotation()})
        ingest(split, str(source), str(tmp_path / "r"), jobs=1)
    opened = registry.open(str(tmp_path / "r"))
    resplit = Resplit.parse("a=0.5,b=0.5")
    with pytest.raises(UsageError, match="The number 1000000 of train cannot be told from those of other splits"):
        Selection(opened.snapshot(), resplit=resplit)
    Selection(opened.snapshot(), Subset.of(split="train"), resplit)


def test_values_of_expressions_stand_in_the_order_of_the_items(opened: Registry) -> None:
    selection = opened.select(Subset.of(occlusion=[1, 2]))
    rows = selection.items(["split", "image_id", "item_no", "x1", "x2", "category_name", "style"]).fetchall()
    values = selection.item_values(["x2 - x1 > 20", "category_name", "if(style = 0, NULL, style)"]).fetchall()
    assert values == [(*row[:3], row[4] - row[3] > 20, row[5], row[6] or None) for row in rows]
    assert selection.item_values([]).fetchall() == [row[:3] for row in rows]


def test_values_come_from_tables_of_the_user_too(opened: Registry) -> None:
    scores = pa.table({"split": ["train"], "image_id": [1], "item_no": [1], "Loss": [2.5]})
    ((image_id,),) = opened.sql("SELECT min(image_id) FROM items WHERE split = 'train'").fetchall()
    scores = scores.set_column(1, "image_id", pa.array([image_id]))
    selection = opened.select(split="train", tables={"scores": scores})
    values = selection.item_values(["scores.loss > 2", "scores.loss"]).fetchall()
    assert [row for row in values if row[3] is not None] == [("train", image_id, 1, True, 2.5)]


@pytest.mark.parametrize("text", ["(SELECT 1)", "random()", "x1 AS x", "", "height"])
def test_an_expression_keeps_to_the_bounds_of_a_condition(opened: Registry, text: str) -> None:
    with pytest.raises(UsageError):
        opened.select().item_values([text])
