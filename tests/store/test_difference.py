"""Differences as plain data: totals and rows."""

from __future__ import annotations

import json

from registry.dataset.tables import FIELDS
from registry.dataset.views import load_views
from registry.store.difference import CHANGES, COMPARED, PAIR_COLUMNS, Change, Count, Summary

SUMMARY = Summary(
    ["train", "test"],
    [
        Count("images", "test", None, "removed", 2),
        Count("items", "train", 9, "added", 3),
        Count("items", "train", 1, "changed", 4),
        Count("items", "train", 9, "changed", 5),
        Count("instance_pairs", "train", None, "added", 6),
    ],
    {"images": {}, "items": {"x1": 9}},
)
EMPTY = Summary(["train"], [], {"images": {}, "items": {}})


def test_totals_always_have_the_same_keys() -> None:
    assert json.dumps(SUMMARY.counts()) == (
        '{"images": {"added": 0, "removed": 2, "changed": 0}, '
        '"items": {"added": 3, "removed": 0, "changed": 9}, '
        '"instance_pairs": {"added": 6, "removed": 0}}'
    )
    assert json.dumps(EMPTY.counts()) == (
        '{"images": {"added": 0, "removed": 0, "changed": 0}, '
        '"items": {"added": 0, "removed": 0, "changed": 0}, '
        '"instance_pairs": {"added": 0, "removed": 0}}'
    )
    assert (SUMMARY.is_same, EMPTY.is_same) == (False, True)


def test_rows_are_by_split_and_category_then_of_all() -> None:
    names = ["split", "of", "category_name", "added", "removed", "changed"]
    assert [list(row) for row in SUMMARY.rows()] == [names] * 8
    assert [tuple(row.values()) for row in SUMMARY.rows()] == [
        ("train", "items", "short sleeve top", 0, 0, 4),
        ("train", "items", "skirt", 3, 0, 5),
        ("train", "images", None, 0, 0, 0),
        ("train", "items", None, 3, 0, 9),
        ("train", "instance_pairs", None, 6, 0, None),
        ("test", "images", None, 0, 2, 0),
        ("test", "items", None, 0, 0, 0),
        ("test", "instance_pairs", None, 0, 0, None),
    ]


def test_a_change_is_a_row() -> None:
    key = {"split": "train", "image_id": 1}
    assert Change("changed", key, ("width",), {"width": 1}, {"width": 2}).to_dict() == {
        "change": "changed", **key, "fields": ["width"], "old": {"width": 1}, "new": {"width": 2},
    }  # fmt: skip


def test_columns_are_those_of_tables_and_views() -> None:
    assert {name for names in COMPARED.values() for name in names} <= set(FIELDS)
    assert set(PAIR_COLUMNS) - {"pair_id", "style"} == set(load_views()["instance_pairs"].key)
    assert set(COMPARED) == {of for of, changes in CHANGES.items() if "changed" in changes}
