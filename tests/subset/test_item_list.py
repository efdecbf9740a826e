"""Lists of items (``--items``): the forms of a file, their digest, and what is refused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from registry.errors import NotFoundError, UsageError
from registry.subset.options import Subset
from tests.own_rows import write

KEYS = pa.table({"split": ["train", "train"], "image_id": [1, 4], "item_no": [2, 1]})


def of(path: Path | pa.Table) -> Subset:
    return Subset.of(items=path if isinstance(path, pa.Table) else str(path))


def test_every_form_of_a_list_is_the_same_subset(tmp_path: Path) -> None:
    subsets = [of(write(tmp_path / f"keys.{kind}", KEYS)) for kind in ("csv", "jsonl", "parquet", "arrow")]
    lines = tmp_path / "keys.txt"
    lines.write_text("\ufefftrain/000004_1\r\n\ntrain_000001_2.jpg\ntrain/image/000001_2.jpg\n", encoding="utf-8")
    subsets += [of(lines), of(KEYS), of(KEYS.take([1, 0, 1]))]
    assert len(set(subsets)) == 1
    assert re.fullmatch(r'\{"items": "sha256:[0-9a-f]{64}"\}', subsets[0].text)
    assert len({subset.digest for subset in subsets}) == 1
    assert of(KEYS.select(["split", "image_id"])) != subsets[0]


def test_the_text_of_a_list_reads_back_without_its_keys() -> None:
    subset = of(KEYS)
    for known in (Subset.of(**subset.to_dict()), Subset.of_document(subset.to_dict())):
        assert known == subset
        assert known.items is not None and known.items.keys is None


def test_a_document_from_elsewhere_names_no_file(tmp_path: Path) -> None:
    path = write(tmp_path / "keys.csv", KEYS)
    with pytest.raises(UsageError, match="no file is read for it here"):
        Subset.of_document({"items": str(path)})


def test_a_list_of_images_picks_no_items() -> None:
    assert of(KEYS).picks_items
    assert not of(KEYS.select(["split", "image_id"])).picks_items


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("keys.csv", "image_id,item_no\n1,1\n", "found image_id, item_no"),
        ("keys.csv", "split,image_id\n", "keys.csv holds no key."),
        (
            "keys.csv",
            "split,image_id\ntrain,\ntrain,1\n",
            "image_id has no value in row 1: expected a key in every row",
        ),
        ("keys.csv", "split,image_id\ntrain,x\n", "image_id: expected whole numbers, found values of the type string"),
        ("keys.txt", "train/000001_2\n000002_1\n", "keys.txt, line 2: expected an item such as train/000001_2"),
        (
            "keys.txt",
            "train/000001_2\ntrain/000002\n",
            "keys.txt, line 2: expected numbers of items in all lines or in",
        ),
        ("keys.txt", "\n\n", "keys.txt holds no key."),
        ("keys.txt", "train/" + "9" * 30 + "_1", "keys.txt, line 1: expected an item such as train/000001_2"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(message)):
        of(tmp_path / name)


@pytest.mark.parametrize(("name", "content"), [("k.csv", "split,image_id\nval,1\n"), ("k", "val/image/000001_1.jpg")])
def test_a_split_that_is_none_is_named(tmp_path: Path, name: str, content: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UsageError, match="Did you mean 'validation'"):
        of(tmp_path / name)


def test_a_list_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"keys\.csv does not exist"):
        of(tmp_path / "keys.csv")


@pytest.mark.parametrize("value", [7, ["train/000001_1"], {"a": 1}])
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(UsageError, match="items: expected a"):
        Subset.of(items=value)
