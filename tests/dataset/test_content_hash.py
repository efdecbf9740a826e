"""The content hash of items: which bytes it is made of, and what changes it."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Iterator, Sequence
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.dataset.content_hash import HASHED, byte_forms, content_hashes
from registry.dataset.deepfashion2 import CATEGORIES
from registry.dataset.tables import ITEMS, arrow_schema
from registry.ingest.chunks import FileChunk
from registry.ingest.shard import read_chunk
from registry.sources.entries import Entry
from tests.helpers import annotation, annotations, item, landmarks, to_bytes

SKIRT = item(
    9,
    3,
    scale=1,
    occlusion=2,
    zoom_in=3,
    viewpoint=2,
    bounding_box=[1, 2.5, 300, 400.125],
    landmarks=[5, 6, 2, 7, 8, 1, *([0] * 18)],
    segmentation=[[1, 2, 3, 4, 5, 6], [7, 8, 9, 10, 11, 12.5, 13, 14]],
)
#: Of SKIRT in a shop's photo of pair_id 7, as the documentation says it.
FORM = (
    b"shop\0"
    + struct.pack("<i", 7)  # pair_id
    + struct.pack("<i", 3)  # style
    + struct.pack("<b", 9)  # category_id
    + b"skirt\0"
    + struct.pack("<4d", 1, 2.5, 300, 400.125)  # x1, y1, x2, y2
    + struct.pack("<4b", 1, 2, 3, 2)  # scale, occlusion, zoom_in, viewpoint
    + struct.pack("<i", 24)
    + struct.pack("<24i", 5, 6, 2, 7, 8, 1, *([0] * 18))
    + struct.pack("<h", 2)  # num_landmarks_labelled
    + struct.pack("<i", 2)
    + struct.pack("<2i", 6, 8)
    + struct.pack("<14d", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12.5, 13, 14)
)
#: What any version of the program has to give for it, on any machine.
GOLDEN = -6955537080534790909


def items_of(*documents: Any) -> pa.RecordBatch:
    """Return the rows of items that ingestion makes of annotation files, numbered from 1."""
    entries = [Entry(number, f"{number:06d}.json", None) for number in range(1, len(documents) + 1)]

    def read(wanted: Sequence[Entry]) -> Iterator[bytes]:
        return (to_bytes(documents[entry.image_id - 1]) for entry in wanted)

    source: Any = SimpleNamespace(read=read)
    actual = read_chunk(source, FileChunk("train", entries, None))
    assert actual.bad_files == ()
    return actual.items


def hashes_of(*documents: Any) -> dict[tuple[int, int], int]:
    """Return the content hash of every item by image and number."""
    rows = items_of(*documents).select(["image_id", "item_no", "content_hash"]).to_pylist()
    return {(row["image_id"], row["item_no"]): row["content_hash"] for row in rows}


def columns_of(rows: pa.RecordBatch, category_id: int = 9) -> dict[str, pa.Array]:
    """Return the columns of rows of one category; the category is not among those that are stored."""
    actual = {name: rows.column(name) for name in rows.schema.names}
    return actual | {"category_id": pa.array([category_id] * len(rows), pa.int8())}


def test_the_byte_form_is_as_documented() -> None:
    rows = items_of(annotation([SKIRT], "shop", 7))
    assert byte_forms(columns_of(rows)).to_pylist() == [FORM]


def test_the_hash_is_the_same_for_ever() -> None:
    expected = int.from_bytes(hashlib.blake2b(FORM, digest_size=8).digest(), "little", signed=True)
    assert hashes_of(annotation([SKIRT], "shop", 7)) == {(1, 1): GOLDEN} == {(1, 1): expected}


def test_every_column_is_hashed_but_key_place_and_the_hash_itself() -> None:
    left_out = {"split", "image_id", "item_no", "item_order", "content_hash", "num_corrections"}
    assert [column.name for column in ITEMS.columns if column.name not in left_out] == list(HASHED)


def test_no_rows_have_no_hashes() -> None:
    schema = arrow_schema(ITEMS, stored=False)
    actual = content_hashes({name: pa.array([], schema.field(name).type) for name in HASHED})
    assert (actual.type, len(actual)) == (pa.int64(), 0)


@pytest.mark.parametrize(
    "changes",
    [
        {"style": 4},
        {"scale": 2},
        {"occlusion": 1},
        {"zoom_in": 2},
        {"viewpoint": 3},
        {"category_id": 4, "category_name": "long sleeve outwear", "landmarks": landmarks(4, 0)},
        {"bounding_box": [2, 2.5, 300, 400.125]},
        {"bounding_box": [1, 2, 300, 400.125]},
        {"bounding_box": [1, 2.5, 301, 400.125]},
        {"bounding_box": [1, 2.5, 300, 400]},
        {"bounding_box": [2.5, 1, 300, 400.125]},
        {"landmarks": [6, 5, 2, 7, 8, 1, *([0] * 18)]},
        {"landmarks": [5, 6, 1, 7, 8, 1, *([0] * 18)]},
        {"landmarks": [5, 6, 2, 7, 8, 0, *([0] * 18)]},
        {"segmentation": []},
        {"segmentation": SKIRT["segmentation"][::-1]},
        {"segmentation": SKIRT["segmentation"][:1]},
        {"segmentation": [[1, 2, 3, 4, 5, 6.0000000001], SKIRT["segmentation"][1]]},
        # The same numbers in the same order, two of them moved from one polygon to the other; all in one.
        {"segmentation": [[1, 2, 3, 4, 5, 6, 7, 8], [9, 10, 11, 12.5, 13, 14]]},
        {"segmentation": [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12.5, 13, 14]]},
    ],
    ids=str,
)
def test_every_change_of_an_item_changes_its_hash(changes: dict[str, Any]) -> None:
    actual = hashes_of(annotation([SKIRT], "shop", 7), annotation([SKIRT | changes], "shop", 7))
    assert actual[1, 1] != actual[2, 1]


@pytest.mark.parametrize(("source", "pair_id"), [("user", 7), ("shop", 8)])
def test_a_change_of_the_image_that_its_items_tell_changes_their_hash(source: str, pair_id: int) -> None:
    actual = hashes_of(annotation([SKIRT], "shop", 7), annotation([SKIRT], source, pair_id))
    assert actual[1, 1] != actual[2, 1]


def test_image_number_item_number_and_order_do_not_count() -> None:
    alone = annotation({"item1": SKIRT}, "shop", 7)
    beside = annotation({"item5": item(1, 1), "item3": SKIRT, "item9": item(2, 0)}, "shop", 7)
    actual = hashes_of(alone, beside)
    assert actual[1, 1] == actual[2, 3]
    assert len(set(actual.values())) == 3


def test_minus_zero_is_zero() -> None:
    zeros = item(1, 1, bounding_box=[0, 0.0, 1, 1], segmentation=[[0.0, 1, 2, 3, 0, 5]])
    minus = item(1, 1, bounding_box=[-0.0, 0, 1, 1], segmentation=[[-0.0, 1, 2, 3, -0.0, 5]])
    actual = hashes_of(annotation([zeros]), annotation([minus]))
    assert actual[1, 1] == actual[2, 1]


def test_rows_cut_out_of_others_have_the_same_hashes() -> None:
    rows = items_of(*(annotation([SKIRT | {"style": style}], "shop", style) for style in range(5)))
    whole = content_hashes(columns_of(rows)).to_pylist()
    assert content_hashes(columns_of(rows.slice(1, 3))).to_pylist() == whole[1:4]
    assert rows.column("content_hash").to_pylist() == whole


def reordered(draw: st.DrawFn, document: dict[str, Any]) -> str:
    """Return an annotation as JSON with its keys in another order, and in another layout."""
    keys = draw(st.permutations(list(document)))
    actual = {}
    for key in keys:
        value = document[key]
        actual[key] = {k: value[k] for k in draw(st.permutations(list(value)))} if isinstance(value, dict) else value
    return json.dumps(actual, indent=draw(st.sampled_from([None, 0, 3])))


@given(st.data(), annotations())
def test_order_of_keys_and_layout_of_the_file_do_not_count(data: st.DataObject, document: dict[str, Any]) -> None:
    other = data.draw(st.composite(reordered)(document))
    assert hashes_of(document) == hashes_of(other)


@given(st.data(), annotations())
@settings(max_examples=200)
def test_changing_any_one_number_changes_the_hash_of_its_item_alone(
    data: st.DataObject, document: dict[str, Any]
) -> None:
    key = data.draw(st.sampled_from(sorted(name for name in document if name.startswith("item"))))
    changed = deepcopy(document)
    change_one(data.draw, changed[key])
    before, after = hashes_of(document), hashes_of(changed)
    number = int(key.removeprefix("item"))
    assert {at for at, actual in before.items() if after[at] != actual} == {(1, number)}


def change_one(draw: Any, one: dict[str, Any]) -> None:
    """Change a value of an item to another valid value."""
    fields = ["scale", "viewpoint", "zoom_in", "occlusion", "style", "bounding_box", "landmarks", "category_id"]
    field = draw(st.sampled_from([*fields, *(["segmentation"] if one["segmentation"] else [])]))
    if field in ("scale", "viewpoint", "zoom_in", "occlusion"):
        one[field] = one[field] % 3 + 1
    elif field == "style":
        one[field] ^= 1
    elif field == "category_id":
        other = draw(st.sampled_from([category for category in CATEGORIES if category.id != one[field]]))
        one |= {"category_id": other.id, "category_name": other.name, "landmarks": landmarks(other.id, 0)}
    elif field == "landmarks":
        place = draw(st.integers(0, len(one[field]) - 1))
        one[field][place] = (one[field][place] + 1) % 3 if place % 3 == 2 else 1 + (one[field][place] == 1)
    else:
        numbers = one[field] if field == "bounding_box" else draw(st.sampled_from(one[field]))
        place = draw(st.integers(0, len(numbers) - 1))
        numbers[place] = 1.5 if numbers[place] != 1.5 else 2.5
