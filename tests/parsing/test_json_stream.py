"""Reading a JSON document a value at a time gives the values that json gives, whatever the size of the blocks."""

from __future__ import annotations

import io
import json
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.parsing import json_stream
from registry.parsing.json_stream import JsonStream, StreamError

_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text('ab{}[]"\\,:é '),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('ab{"\\'), inner, max_size=3),
    max_leaves=8,
)


def read(data: bytes, block: int) -> dict[str, Any]:
    """Return a document that is read in blocks of a size."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_BLOCK", block)
        stream = JsonStream(io.BytesIO(data))
        document: dict[str, Any] = {}
        for key in stream.members():
            if stream.peek() == b"[":
                parts = list(stream.elements())
                assert all(data[offset : offset + len(text)] == text for offset, text in parts)
                document[key] = [json.loads(text) for _, text in parts]
            else:
                document[key] = json.loads(stream.value())
    assert (stream.num_bytes, stream.crc) == (len(data), zlib.crc32(data))
    return document


@given(
    st.dictionaries(st.text('ab{"\\'), _VALUES, max_size=4),
    st.integers(4, 40),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_values_are_those_of_json(document: dict[str, Any], block: int, indent: int | None, ascii_only: bool) -> None:
    data = json.dumps(document, indent=indent, ensure_ascii=ascii_only).encode()
    assert read(data, block) == document


@given(st.dictionaries(st.text("ab"), _VALUES, min_size=1, max_size=3), st.integers(4, 40), st.data())
def test_a_document_that_is_cut_anywhere_is_refused(document: dict[str, Any], block: int, data: st.DataObject) -> None:
    text = json.dumps(document).encode()
    end = data.draw(st.integers(1, len(text) - 1))
    with pytest.raises((StreamError, json.JSONDecodeError)):
        read(text[:end], block)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the file is empty"),
        (b"[]", "expected one JSON object, found '['"),
        (b'{"a": 1} x', "expected nothing after the JSON object, found 'x' at byte 9"),
        (b'{"a": 1,}', "expected a key in quotes"),
        (b'{"a" 1}', "expected a colon after the key"),
        (b'{"a": [1 2]}', "expected a comma or ]"),
        (b'{"a": [1,]}', "expected a JSON value, found ']'"),
        (b'{"a": [1, 2', "the file is cut short: it ends after 11 bytes"),
        (b"\xff\xfe{", "found the byte order mark of UTF-16"),
    ],
)
def test_faults_are_named_with_their_place(text: bytes, message: str) -> None:
    with pytest.raises(StreamError) as error:
        read(text, 64)
    assert message in str(error.value)


def read_together(data: bytes, block: int) -> tuple[list[Any], int]:
    """Return the elements of a list that is read in blocks of a size, and how many were decoded together."""

    def decode(text: bytes) -> list[Any] | None:
        try:
            return json.loads(text)  # type: ignore[no-any-return]
        except ValueError:
            return None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "_BLOCK", block)
        stream = JsonStream(io.BytesIO(data))
        elements, num_together = [], 0
        for values, texts in stream.decoded_elements(decode):
            assert (values is None) != (texts == [])
            elements += map(json.loads, texts) if values is None else values
            num_together += len(values or ())
        assert not stream.peek()
        return elements, num_together


@given(st.lists(_VALUES, max_size=8), st.integers(1, 60), st.sampled_from([None, 1]))
def test_elements_that_are_decoded_together_are_those_of_json(
    values: list[Any], block: int, indent: int | None
) -> None:
    assert read_together(json.dumps(values, indent=indent).encode(), block)[0] == values


def test_objects_are_decoded_together() -> None:
    values = [{"a": [k], "b": {"c": [k]}} for k in range(1000)]
    elements, num_together = read_together(json.dumps(values).encode(), 4096)
    assert elements == values
    assert num_together > 900


def test_strings_that_look_like_the_ends_of_objects_are_no_ends() -> None:
    values = [{"a": "}, {", "b": {"c": [k]}, "d": "}] , [{"} for k in range(1000)]
    assert read_together(json.dumps(values).encode(), 4096)[0] == values


@pytest.mark.parametrize("text", ["[", "[{}", "[{}, ", "[{}, {}", "[{}}", "{}", "[{},,{}]", "3", "[{}, {]", ""])
@pytest.mark.parametrize("block", [1, 4096])
def test_lists_that_end_early_or_are_none_are_refused_when_decoded_together(text: str, block: int) -> None:
    with pytest.raises(ValueError):  # of the stream, or of an element
        read_together(text.encode(), block)
