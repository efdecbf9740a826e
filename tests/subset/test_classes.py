"""The classes of an export: what users write, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from registry.dataset.deepfashion2 import CATEGORIES
from registry.errors import NotFoundError, UsageError
from registry.subset.classes import Classes, categories_of, read_choice, read_document

CHOICE = {"tops": ["short sleeve top", "vest"], "bottoms": ["trousers", "skirt"]}


@pytest.mark.parametrize(
    "value",
    [
        "tops=short sleeve top,vest; bottoms=trousers,skirt",
        " tops = vest , short_sleeved_shirt ;bottoms=8,9; ",
        '{"tops": ["vest", 1], "bottoms": "trousers,skirt"}',
        {"tops": [1, 5], "bottoms": ("skirt", "trousers")},
    ],
)
def test_classes_are_read_from_texts_and_mappings(value: Any) -> None:
    assert read_choice(value) == CHOICE
    assert list(read_choice(value) or ()) == ["tops", "bottoms"], "in the order of the text"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("classes.yaml", "tops: [short sleeve top, vest]\nbottoms:\n- trousers\n- 9\n"),
        ("classes.json", json.dumps(CHOICE)),
        ("classes.txt", "# two classes\ntops=short sleeve top,vest\n\nbottoms=trousers, skirt\n"),
        ("a=b.yaml", "tops=1,5;bottoms=8,9"),
    ],
)
def test_classes_are_read_from_files(name: str, text: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert read_choice(tmp_path / name) == CHOICE
    if "=" not in name:
        assert read_choice(str(tmp_path / name)) == CHOICE


def test_all_problems_are_told_together() -> None:
    text = "tops=vest,pants; Tops=sling; a/b=vest; empty=; skirts; long top=skirt; long_top=shorts"
    with pytest.raises(UsageError) as caught:
        read_choice(text)
    assert str(caught.value).splitlines() == [
        "classes: 7 problems.",
        "'tops': Unknown category 'pants'. Did you mean 'trousers'? There is: "
        f"{', '.join(category.name for category in CATEGORIES)}.",
        "'Tops' is named twice: expected every name once, in any case, _ and space alike",
        "'a/b' cannot name a class: expected ASCII letters, digits, spaces, _ and -, at most 100, and a letter or "
        "digit at the beginning",
        "'vest' is in 'tops' and in 'a/b': expected it once",
        "'empty' has no category: expected at least one",
        "'skirts' has no category: expected NAME=CATEGORY,CATEGORY",
        "'long_top' is named twice: expected every name once, in any case, _ and space alike",
    ]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({}, "classes: no class: expected such as"),
        ({"a": None}, "classes: 'a' has no category: expected NAME=CATEGORY,CATEGORY."),
        ({"a": {"b": 1}}, "classes: 'a': Unknown category 'b'."),
        ({"a": True}, "classes: 'a': Unknown category True."),
        ({"a": ["vest", "vest"]}, "classes: 'vest' is in 'a' and in 'a': expected it once."),
        (["vest"], "classes: 'vest': expected a mapping of names to categories."),
        (7, "classes: expected present, or classes such as"),
        ("{", "classes is not sound YAML"),
        ("a\n=vest", "classes: 2 problems"),
        ("..=vest", "classes: '..' cannot name a class"),
        ("a,b=vest", "classes: 'a,b' cannot name a class"),
        ("x" * 101 + "=vest", "cannot name a class"),
    ],
)
def test_a_value_that_is_no_classes_is_refused(value: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_choice(value)
    assert message in str(caught.value)


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"there is no file .*presnt. Expected present, a file, or a text such as"):
        read_choice(str(tmp_path / "presnt"))
    with pytest.raises(UsageError, match="cannot be read"):
        read_choice(str(tmp_path))
    with pytest.raises(UsageError, match="cannot be read"):
        read_choice("a\0b")


def test_a_document_from_elsewhere_names_no_file(tmp_path: Path) -> None:
    (tmp_path / "classes.yaml").write_text("tops: [vest]")
    assert read_document("present") == "present"
    assert read_document(CHOICE) == CHOICE
    with pytest.raises(UsageError, match="expected present, or classes such as"):
        read_document(str(tmp_path / "classes.yaml"))


def test_the_ids_of_classes_have_no_gaps() -> None:
    merged = Classes.of(CHOICE)  # type: ignore[arg-type]
    assert [str(member) for member in merged] == ["tops (short sleeve top, vest)", "bottoms (trousers, skirt)"]
    assert merged.ids(pa.array([9, 1, 5, 8], pa.int8())).to_pylist() == [2, 1, 1, 2]
    assert merged.names(pa.array([9, 1], pa.int8())).to_pylist() == ["bottoms", "tops"]
    assert merged.counts({1: 2, 5: 3}) == {"tops": 5, "bottoms": 0}
    assert categories_of(CHOICE) == (1, 5, 8, 9)  # type: ignore[arg-type]
    present = Classes.of("present", [2, 13])
    assert [(member.id, member.name, member.coco_name) for member in present] == [
        (1, "long sleeve top", "long_sleeved_shirt"),
        (2, "sling dress", "sling_dress"),
    ]
    everything = Classes.of()
    assert everything.ids(pa.array(range(1, 14), pa.int8())).to_pylist() == list(range(1, 14))
    assert categories_of({"all": [category.name for category in CATEGORIES]}) == ()
