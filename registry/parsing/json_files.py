"""Parse JSON from outside strictly: no repeated keys in an object, no NaN or Infinity, no numbers that lose digits.

Python's json and msgspec silently use the last of repeated keys, so a second ``"files": []`` would empty a registry.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from registry.parsing.text import decode_text

#: Message for a repeated key, after its path.
REPEATED: Final = "the key stands more than once; expected it once"
#: Significant digits that identify a double; programs print no more. A number with more digits loses some.
MAX_DIGITS: Final = 17


class Duplicates(dict[str, Any]):
    """A JSON object that remembers its repeated keys."""

    # Without a __dict__, an object takes a third of the memory; a bad file may hold millions.
    __slots__ = ("_duplicates",)
    _duplicates: list[str]

    @classmethod
    def from_pairs(cls, pairs: list[tuple[str, Any]]) -> Duplicates:
        """Return the object with these keys and values."""
        parsed = cls(pairs)
        if len(parsed) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            parsed._duplicates = sorted(key for key, count in counts.items() if count > 1)
        return parsed

    @property
    def duplicates(self) -> list[str]:
        """The repeated keys, sorted."""
        return getattr(self, "_duplicates", [])


class CutNumber(float):
    """A JSON number that has more digits than its double, with the text in the file (``literal``)."""

    __slots__ = ("literal",)
    literal: str


def lost_digits(literal: str) -> str | None:
    """Return a description of the expected number if a JSON number loses digits as a double, else None."""
    digits = literal.lower().partition("e")[0].lstrip("-").replace(".", "").strip("0")
    if len(digits) > MAX_DIGITS:
        return f"a number of at most {MAX_DIGITS} significant digits"
    value = float(literal)
    from decimal import Decimal  # late: few numbers are this small, and every command reads JSON

    is_small = digits and abs(value) < sys.float_info.min  # subnormal doubles have fewer digits, down to none
    if is_small and (not value or Decimal(repr(value)) != Decimal(literal)):
        return "a number that is not too small for a double"
    return None


def _read_decimal(literal: str) -> float:
    """Return a number, as :class:`CutNumber` if it loses digits."""
    if lost_digits(literal) is None:
        return float(literal)
    number = CutNumber(literal)
    number.literal = literal
    return number


def decode(text: str) -> Any:
    """Return the value of a JSON text; objects become :class:`Duplicates`, numbers that lose digits CutNumber.

    Raises:
        json.JSONDecodeError: the text is not JSON.
        ValueError: the text contains NaN or Infinity, or an integer of more digits than Python converts.
        RecursionError: the text is nested too deeply.
    """
    return json.loads(
        text, object_pairs_hook=Duplicates.from_pairs, parse_float=_read_decimal, parse_constant=_refuse_constant
    )


def load_json(data: bytes) -> Any:
    """Return the value of a JSON document in UTF-8, with or without a byte order mark.

    Raises:
        ValueError: the document is not JSON, contains NaN or Infinity, or repeats a key; the message names the key.
        RecursionError: the document is nested too deeply.
    """
    document = decode(decode_text(data))
    for path in repeated_keys(document):
        raise ValueError(f"{' > '.join(path)}: {REPEATED}")
    return document


def check_keys(data: bytes) -> None:
    """Refuse a JSON document that repeats a key in an object; for documents of many megabytes.

    Raises:
        ValueError: a key is repeated, or as :func:`decode`.
        RecursionError: the document is nested too deeply.
    """
    json.loads(decode_text(data), object_pairs_hook=_check_pairs, parse_constant=_refuse_constant)


def repeated_keys(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the paths (keys and list indexes) of repeated keys in a value of :func:`decode`.

    Args:
        value: the value.
        path: of the value in its document.
    """
    if isinstance(value, Duplicates):
        yield from ((*path, key) for key in value.duplicates)
        for key, entry in value.items():
            yield from repeated_keys(entry, (*path, key))
    elif isinstance(value, list):
        for position, entry in enumerate(value):
            yield from repeated_keys(entry, (*path, str(position)))


def _check_pairs(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise ValueError(f"an object has a key twice among {', '.join(ascii(key) for key, _ in pairs[:10])}")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"expected JSON numbers, found {name}")
