"""The exact issues of bad annotation files; decoder and checks accept the same files."""

# ruff: noqa: E501 - a bad file and its issue are on the same line

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from registry.dataset.deepfashion2 import CATEGORIES
from registry.ingest.decode import RawFile, decode_annotations
from registry.ingest.diagnose import ITEM_FIELDS, check_annotation, item_no
from registry.sources.issues import Issue, summarise
from tests.helpers import annotation, annotations, item, landmarks, to_bytes

FILE = "train/annos/000123.json"
KNOWN_KEYS = "source, pair_id, and item1, item2, ... up to item32767"
KNOWN_FIELDS = ", ".join(ITEM_FIELDS)


def without(key: str) -> dict[str, Any]:
    incomplete = item()
    del incomplete[key]
    return incomplete


def issues_of(document: Any) -> list[str]:
    return [str(issue) for issue in check_annotation(to_bytes(document), FILE)]


def with_item(**changes: Any) -> dict[str, Any]:
    return annotation([item(**changes)])


def text_of(document: dict[str, Any], old: str, new: str) -> str:
    text = json.dumps(document)
    assert text.count(old) == 1
    return text.replace(old, new)


BAD = {
    "empty file": (b"", "the file is empty; expected one JSON object"),
    "only blanks": (b" \r\n\t", "the file is empty; expected one JSON object"),
    "cut short": (to_bytes(annotation())[:40], "expected valid JSON: Expecting ':' delimiter (character 40 of 40)"),
    "two documents": (to_bytes(annotation()) + b"{}", f"expected valid JSON: Extra data (character {len(to_bytes(annotation()))} of {len(to_bytes(annotation())) + 2})"),
    "UTF-16": (to_bytes(annotation()).decode().encode("utf-16"), "expected UTF-8 text, found the byte order mark of UTF-16; save the file as UTF-8"),
    "no UTF-8": (to_bytes(annotation()).replace(b"user", b"us\xffr"), f"expected UTF-8 text, found byte 0xff at byte {to_bytes(annotation()).index(b'user') + 2}"),
    "a list": (b"[]", "expected one JSON object, found a list"),
    "a text": (b'"item1"', "expected one JSON object, found a text"),
    "null": (b"null", "expected one JSON object, found null"),
    "deep nesting": (b"[" * 100_000, "expected JSON nested at most 4 deep, found it nested too deeply to read"),
    "NaN": (text_of(with_item(), "20.25", "NaN"), "expected JSON numbers, found NaN"),
    "infinity": (text_of(with_item(), "20.25", "-Infinity"), "expected JSON numbers, found -Infinity"),
    "integer of 5000 digits": (text_of(with_item(), "20.25", "9" * 5000), "Exceeds the limit (4300 digits) for integer string conversion"),
    "no items": ({"source": "user", "pair_id": 1}, "expected at least one item (item1, item2, ...), found none"),
    "unknown key": (annotation() | {"item01": {}}, f" > item01: unknown key; expected {KNOWN_KEYS}"),
    "item number too large": (annotation() | {"item32768": {}}, f" > item32768: unknown key; expected {KNOWN_KEYS}"),
    "unknown field": (with_item(colour="red"), f" > item1 > colour: unknown key; expected {KNOWN_FIELDS}"),
    "source missing": ({"pair_id": 1, "item1": item()}, " > source: missing; expected user or shop"),
    "source unknown": (annotation(source="studio"), ' > source: expected user or shop, found "studio"'),
    "source a list": (annotation() | {"source": ["user"]}, " > source: expected user or shop, found a list"),
    "pair_id missing": ({"source": "user", "item1": item()}, " > pair_id: missing; expected an integer from 0 to 2147483647"),
    "pair_id negative": (annotation(pair_id=-1), " > pair_id: expected an integer from 0 to 2147483647, found -1"),
    "pair_id too large": (annotation(pair_id=2**31), " > pair_id: expected an integer from 0 to 2147483647, found 2147483648"),
    "pair_id true": (annotation() | {"pair_id": True}, " > pair_id: expected an integer from 0 to 2147483647, found true"),
    "key twice": (text_of(annotation(), '"source"', '"pair_id": 1, "source"'), " > pair_id: the key stands more than once; expected it once"),
    "field twice": (text_of(with_item(), '"style"', '"style": 7, "style"'), " > item1 > style: the key stands more than once; expected it once"),
    "item null": (annotation() | {"item1": None}, " > item1: expected an object, found null"),
    "item a number": (annotation() | {"item1": 3}, " > item1: expected an object, found a number"),
    "style negative": (with_item(style=-1), " > item1 > style: expected an integer from 0 to 2147483647, found -1"),
    "style a float": (with_item(style=1.0), " > item1 > style: expected an integer from 0 to 2147483647, found 1.0"),
    "style a huge integer": (with_item(style=10**50), " > item1 > style: expected an integer from 0 to 2147483647, found an integer of more than 40 digits"),
    "scale 0": (with_item(scale=0), " > item1 > scale: expected an integer from 1 to 3, found 0"),
    "occlusion 4": (with_item(occlusion=4), " > item1 > occlusion: expected an integer from 1 to 3, found 4"),
    "zoom_in a text": (with_item(zoom_in="1"), ' > item1 > zoom_in: expected an integer from 1 to 3, found "1"'),
    "viewpoint missing": (annotation([without("viewpoint")]), " > item1 > viewpoint: missing; expected an integer from 1 to 3"),
    "category name": (with_item(category_name="skirt"), " > item1 > category_name: expected 'short sleeve top' for category 1, found \"skirt\""),
    "category name missing": (annotation([without("category_name")]), " > item1 > category_name: missing; expected the name of the category"),
    "box of three": (with_item(bounding_box=[1, 2, 3]), " > item1 > bounding_box: expected 4 numbers (x1, y1, x2, y2), found 3"),
    "box with a text": (with_item(bounding_box=[1, 2, "3", 4]), ' > item1 > bounding_box > 2: expected a number, found "3"'),
    "box an object": (with_item(bounding_box={"x": 1}), " > item1 > bounding_box: expected [x1, y1, x2, y2], found an object"),
    "box beyond doubles": (text_of(with_item(bounding_box=[0, 0, 1, 77.5]), "77.5", "1e999"), " > item1 > bounding_box > 3: expected a number that fits a double, found one that is too large"),
    "box beyond exactness": (with_item(bounding_box=[0, 0, 1, 2**53]), " > item1 > bounding_box > 3: expected a number below 2^53 in size, found 9007199254740992"),
    "box too small for a double": (text_of(with_item(bounding_box=[0, 0, 1, 77.5]), "77.5", "1e-400"), " > item1 > bounding_box > 3: expected a number that is not too small for a double, found 1e-400"),
    "box with a part of its digits": (text_of(with_item(bounding_box=[0, 0, 1, 77.5]), "77.5", "12.3456789012345678E-310"), " > item1 > bounding_box > 3: expected a number of at most 17 significant digits, found 12.3456789012345678E-310"),
    "box too small for its digits": (text_of(with_item(bounding_box=[0, 0, 1, 77.5]), "77.5", "1.23456789012345e-315"), " > item1 > bounding_box > 3: expected a number that is not too small for a double, found 1.23456789012345e-315"),
    "box of many zeros": (text_of(with_item(bounding_box=[0, 0, 1, 77.5]), "77.5", f"0.{'0' * 400}1"), f" > item1 > bounding_box > 3: expected a number that is not too small for a double, found 0.{'0' * 35}..."),
    "integer beyond exactness beside a decimal": (text_of(with_item(bounding_box=[0, 0, 1, 77.5]), "0, 1, 77.5", "0.5, 1, 9007199254740993"), " > item1 > bounding_box > 3: expected a number below 2^53 in size, found 9007199254740993"),
    "polygon of 23 digits": (text_of(with_item(), "20.25", "123456789.12345678901234"), " > item1 > segmentation > polygon 1 > 1: expected a number of at most 17 significant digits, found 123456789.12345678901234"),
    "polygon of 18 digits": (text_of(with_item(), "20.25", "-1.23456789012345678"), " > item1 > segmentation > polygon 1 > 1: expected a number of at most 17 significant digits, found -1.23456789012345678"),
    "polygon of 18 digits and an exponent": (text_of(with_item(), "20.25", "123456789012345678e-9"), " > item1 > segmentation > polygon 1 > 1: expected a number of at most 17 significant digits, found 123456789012345678e-9"),
    "style too small": (text_of(with_item(), '"style": 1', '"style": 1e-400'), " > item1 > style: expected an integer from 0 to 2147483647, found 1e-400"),
    "landmarks short": (annotation([item(), item(landmarks=landmarks(1)[:-1])]), " > item2 > landmarks: expected 75 numbers for category 1 (short sleeve top), found 74"),
    "landmarks missing": (annotation([without("landmarks")]), " > item1 > landmarks: missing; expected a flat list of x, y, v"),
    "landmark a float": (with_item(landmarks=[1.5, *landmarks(1)[1:]]), " > item1 > landmarks > 0: expected an integer, found 1.5"),
    "landmark null": (with_item(landmarks=[None, *landmarks(1)[1:]]), " > item1 > landmarks > 0: expected an integer, found null"),
    "landmark too large": (with_item(landmarks=[2**31, *landmarks(1)[1:]]), " > item1 > landmarks > 0: expected an integer of at most 32 bits, found 2147483648"),
    "landmark v 3": (with_item(landmarks=[1, 1, 3, *landmarks(1)[3:]]), " > item1 > landmarks > 2: expected v 0, 1 or 2, found 3"),
    "landmark v huge": (with_item(landmarks=[1, 1, 10**60, *landmarks(1)[3:]]), " > item1 > landmarks > 2: expected v 0, 1 or 2, found an integer of more than 40 digits"),
    "segmentation missing": (annotation([without("segmentation")]), " > item1 > segmentation: missing; expected a list of polygons"),
    "polygon odd": (with_item(segmentation=[[1, 2, 3, 4, 5, 6, 7]]), " > item1 > segmentation > polygon 1: expected an even count of at least 6 numbers, found 7"),
    "polygon of two points": (with_item(segmentation=[[0] * 6, [1, 2, 3, 4]]), " > item1 > segmentation > polygon 2: expected an even count of at least 6 numbers, found 4"),
    "polygon flat": (with_item(segmentation=[3]), " > item1 > segmentation > polygon 1: expected a list of numbers, found a number"),
    "polygon with null": (with_item(segmentation=[[1, 2, 3, 4, 5, None]]), " > item1 > segmentation > polygon 1 > 5: expected a number, found null"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_the_issue_of_a_bad_file_names_place_expected_and_actual_value(name: str) -> None:
    document, text = BAD[name]
    assert issues_of(document) == [f"{FILE}{text}" if text.startswith(" > ") else f"{FILE}: {text}"]


@pytest.mark.parametrize("name", BAD)
def test_the_decoder_refuses_every_bad_file_and_keeps_the_good_files_of_its_chunk(name: str) -> None:
    files = [
        RawFile(k, f"{k}", to_bytes(document))
        for k, document in enumerate([with_item(style=5), BAD[name][0], with_item()])
    ]
    columns, issues = decode_annotations(files)
    assert (list(issues), columns.image_ids, [decoded.style for decoded in columns.items]) == ([1], [0, 2], [5, 1])
    assert issues[1] == check_annotation(files[1].data, "1")


def test_all_issues_of_a_file_are_reported_sorted_by_place() -> None:
    bad = item(14, style=-2, scale="2", landmarks=[1, 2, 9], segmentation=[[1, 2]], colour=None)
    assert issues_of({"item2": bad, "item9": item(), "source": "x", "when": 1}) == [
        f"{FILE} > item2 > category_id: expected an integer from 1 to 13, found 14",
        f"{FILE} > item2 > colour: unknown key; expected {KNOWN_FIELDS}",
        f"{FILE} > item2 > landmarks > 2: expected v 0, 1 or 2, found 9",
        f'{FILE} > item2 > scale: expected an integer from 1 to 3, found "2"',
        f"{FILE} > item2 > segmentation > polygon 1: expected an even count of at least 6 numbers, found 2",
        f"{FILE} > item2 > style: expected an integer from 0 to 2147483647, found -2",
        f"{FILE} > pair_id: missing; expected an integer from 0 to 2147483647",
        f'{FILE} > source: expected user or shop, found "x"',
        f"{FILE} > when: unknown key; expected {KNOWN_KEYS}",
    ]


ODD = {
    "box of zeros": with_item(bounding_box=[0, 0, 0, 0]),
    "box upside down": with_item(bounding_box=[9, 9, 1, 1]),
    "negative box": with_item(bounding_box=[-1.5, -2, 3, 4]),
    "polygon outside": with_item(segmentation=[[-1, -1e6, 1e6, 5, 1, 1]]),
    "no polygon": with_item(segmentation=[]),
    "no landmark labelled": with_item(landmarks=landmarks(1, 0)),
    "landmark outside": with_item(landmarks=[-5, 100_000, 2, *landmarks(1)[3:]]),
    "orphan style": with_item(style=14),
    "mixed categories of one style": annotation([item(1, 3), item(13, 3)]),
    "one item twice": annotation([item(), item()]),
    "gaps and order": annotation({"item7": item(2), "item3": item(4)}),
    "zeros with a sign": with_item(bounding_box=[-0.0, 0, 1, 1]),
    "decimals of 17 digits": with_item(bounding_box=[0.1, 0.12345678901234568, 459.7714285714286, 363.50000000000006]),
    "decimals of 17 digits and zeros": text_of(with_item(), "20.25", "0.00012345678901234567000000"),
    "smallest doubles": with_item(bounding_box=[5e-324, 2.2250738585072014e-308, 1e-7, 1.5e-300]),
    "zeros of any length": text_of(with_item(), "20.25", f"0.{'0' * 400}e-400"),
    "exponents": text_of(with_item(), "20.25", "2025e-2"),
    "blanks": json.dumps(annotation(), indent=3) + "\n",
    "escaped key": json.dumps(annotation()).replace("item1", "\\u0069tem1"),
}


@pytest.mark.parametrize("name", ODD)
def test_odd_values_of_the_real_dataset_are_accepted(name: str) -> None:
    assert issues_of(ODD[name]) == []
    assert decode_annotations([RawFile(1, FILE, to_bytes(ODD[name]))])[1] == {}


@pytest.mark.parametrize("category", CATEGORIES, ids=lambda category: category.name)
def test_the_number_of_landmarks_depends_on_the_category(category: Any) -> None:
    assert issues_of(annotation([item(category.id)])) == []
    for count in (3 * category.num_landmarks - 3, 3 * category.num_landmarks + 3):
        assert issues_of(annotation([item(category.id, landmarks=[0] * count)])) == [
            f"{FILE} > item1 > landmarks: expected {3 * category.num_landmarks} numbers for category {category.id} "
            f"({category.name}), found {count}"
        ]


def test_keys_that_a_terminal_or_a_table_cannot_hold_are_shown_escaped() -> None:
    text = json.dumps(annotation() | {"a\nb": 1, "\ud800": 2, "x" * 500: 3, "": 4})
    shown = issues_of(text)
    assert len(shown) == 4
    for line in shown:
        assert line.isprintable() and len(line) < 250
        line.encode("utf-8")
    assert [line.partition(": ")[0].removeprefix(f"{FILE} > ") for line in shown] == [
        '""',
        '"\\ud800"',
        '"a\\nb"',
        '"' + "x" * 36 + "...",
    ]


def test_a_long_category_name_is_shortened_in_the_issue() -> None:
    assert issues_of(with_item(category_name="\ud800" + "y" * 500)) == [
        f"{FILE} > item1 > category_name: expected 'short sleeve top' for category 1, found \"\\ud800"
        + "y" * 30
        + "..."
    ]


def test_a_file_with_many_repeated_keys_is_checked_quickly() -> None:
    text = "{" + ",".join(f'"k{k // 2}":1' for k in range(60_000)) + "}"
    issues = check_annotation(text.encode(), FILE)
    assert sum("more than once" in issue.text for issue in issues) == 100
    assert str(issues[0]) == f"{FILE}: has 10,000 or more issues more than the 100 that are told"


def test_item_numbers_follow_the_word_item() -> None:
    keys = [
        "item1",
        "item12",
        "item32767",
        "item32768",
        "item0",
        "item01",
        "item",
        "Item1",
        "item1 ",
        "item१",
        "item-1",
    ]
    assert [item_no(key) for key in keys] == [1, 12, 32767, *[0] * 8]


def test_a_summary_shows_twenty_issues_and_counts_the_rest() -> None:
    issues = [Issue(f"train/annos/{k:06d}.json", (), "x") for k in range(22, 0, -1)]
    lines = summarise(issues).splitlines()
    assert lines[0] == "22 issues:"
    assert lines[1:21] == [f"  train/annos/{k:06d}.json: x" for k in range(1, 21)]
    assert lines[21:] == ["  ... and 2 more"]
    assert summarise(issues[:1]) == "1 issue:\n  train/annos/000022.json: x"


JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-4, 4), st.floats(), st.text(max_size=5),
    st.sampled_from([2**31, -(2**31), 2**53, 10**30, 1e308, 2.0, -0.0, "user", [], {}, [[]], {"a": {"a": 1}}]),
    st.lists(st.integers(0, 3), max_size=8),
)  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Draw an annotation that was sound before something in it was deleted, retyped, repeated, cut or overwritten."""
    document = draw(annotations())
    places = [(document, key) for key in document]
    for value in list(document.values()):
        if isinstance(value, dict):
            places += [(value, key) for key in value]
            places += [(value["landmarks"], 2), (value["bounding_box"], 1)]
            places += [(polygon, 0) for polygon in value["segmentation"]]
    holder, key = draw(st.sampled_from(places))
    match draw(st.sampled_from(["none", "delete", "retype", "number", "rename", "shorten", "repeat", "cut", "byte"])):
        case "delete":
            del holder[key]
        case "retype":
            holder[key] = draw(JUNK)
        case "number" if isinstance(holder[key], int | float):
            holder[key] = draw(st.sampled_from([float(holder[key]), -holder[key], holder[key] + 1, holder[key] + 0.5]))
        case "rename" if isinstance(holder, dict):
            holder[draw(st.sampled_from(["item1", "item0", "item99999", "style", "source", ""]))] = holder.pop(key)
        case "shorten" if isinstance(holder[key], list):
            holder[key] = holder[key][: draw(st.integers(0, len(holder[key])))]
        case "repeat" if isinstance(holder, dict):
            return json.dumps(document).replace(json.dumps(key), f"{json.dumps(key)}: 1, {json.dumps(key)}", 1).encode()
        case "cut":
            data = json.dumps(document).encode()
            return data[: draw(st.integers(0, len(data)))]
        case "byte":
            data = bytearray(json.dumps(document).encode())
            data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
            return bytes(data)
    return json.dumps(document).encode()


@given(annotations())
def test_decoder_and_checks_accept_generated_annotations(document: dict[str, Any]) -> None:
    assert issues_of(document) == []
    assert decode_annotations([RawFile(1, FILE, to_bytes(document))])[1] == {}


@settings(max_examples=300)
@given(mutated())
@example(to_bytes(with_item(style=1.0)))
@example(to_bytes(with_item(style=True)))
@example(to_bytes(with_item(bounding_box=[0, 0, 1, 2**53 - 1])))
@example(text_of(with_item(bounding_box=[0, 0, 1, 77.5]), "77.5", "9007199254740991.5").encode())
@example(text_of(with_item(bounding_box=[0, 0, 1, 77.5]), "77.5", "1e2").encode())
@example(text_of(with_item(bounding_box=[0, 0, 1, 77.5]), "77.5", "1e-999").encode())
@example(text_of(with_item(), '"style": 1', '"style": 1.0000000000000000001').encode())
@example(text_of(with_item(), '"user"', '"0.12345678901234567890"').encode())
@example(text_of(with_item(), '"style": 1', '"style": 1e0').encode())
@example(text_of(with_item(), '"style": 1', '"style": -0').encode())
@example(text_of(with_item(), '"style": 1', '"style": 01').encode())
@example(text_of(with_item(), '"user"', '"us\\u0065r"').encode())
@example(to_bytes(annotation()).decode().encode("utf-16"))
def test_the_decoder_accepts_a_file_exactly_if_the_checks_report_no_issue(data: bytes) -> None:
    expected = check_annotation(data, FILE)
    columns, issues = decode_annotations([RawFile(1, FILE, data)])
    assert issues == ({0: expected} if expected else {})
    assert len(columns.image_ids) == (not expected)
    for issue in expected:
        assert str(issue).isprintable()
        str(issue).encode("utf-8")


@given(st.one_of(st.binary(max_size=60), st.text(alphabet='{}[]",:item1-e.0 \\u', max_size=60).map(str.encode)))
def test_arbitrary_bytes_are_accepted_or_refused_without_a_crash(data: bytes) -> None:
    assert check_annotation(data, FILE)
    assert decode_annotations([RawFile(1, FILE, data)])[1]
