"""JSON from outside: an object has each key once, and NaN and Infinity are no numbers.

Python's parser and msgspec's take the last of repeated keys in silence, so a second ``"files": []`` would empty a
registry.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

#: What a message says of a repeated key, behind its place.
REPEATED: Final = "the key stands more than once; expected it once"
#: Digits that tell each double from its neighbours: programs print no more, and a number with more is cut.
MAX_DIGITS: Final = 17


class Duplicates(dict[str, Any]):
    """A JSON object that remembers which of its keys stood in it more than once."""

    # Without a dictionary of its own an object takes a third of the memory, and a bad file may hold millions.
    __slots__ = ("_duplicates",)
    _duplicates: list[str]

    @classmethod
    def from_pairs(cls, pairs: list[tuple[str, Any]]) -> Duplicates:
        """Return the object of these keys and values."""
        found = cls(pairs)
        if len(found) < len(pairs):
            counts = Counter(key for key, _ in pairs)
            found._duplicates = sorted(key for key, count in counts.items() if count > 1)
        return found

    @property
    def duplicates(self) -> list[str]:
        """The keys that stood more than once."""
        return getattr(self, "_duplicates", [])


class CutNumber(float):
    """A JSON number of which a double holds only a part."""

    __slots__ = ("literal",)
    literal: str


def lost_digits(literal: str) -> str | None:
    """Return the number that a message asks for where a double holds only a part of a JSON number, else None."""
    digits = literal.lower().partition("e")[0].lstrip("-").replace(".", "").strip("0")
    if len(digits) > MAX_DIGITS:
        return f"a number of at most {MAX_DIGITS} significant digits"
    value = float(literal)
    from decimal import Decimal  # late: few numbers are this small, and every command reads JSON

    is_small = digits and abs(value) < sys.float_info.min  # doubles have fewer digits there, down to none
    if is_small and (not value or Decimal(repr(value)) != Decimal(literal)):
        return "a number that is not too small for a double"
    return None


def _read_decimal(literal: str) -> float:
    if lost_digits(literal) is None:
        return float(literal)
    number = CutNumber(literal)
    number.literal = literal
    return number


def decode(text: str) -> Any:
    """Return the value of a JSON text, its objects as :class:`Duplicates` and cut numbers as :class:`CutNumber`.

    Raises:
        json.JSONDecodeError: it is no JSON.
        ValueError: it holds NaN or Infinity, or an integer of more digits than Python converts.
        RecursionError: it is nested too deeply.
    """
    return json.loads(
        text, object_pairs_hook=Duplicates.from_pairs, parse_float=_read_decimal, parse_constant=_refuse_constant
    )


def load_json(data: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is no JSON of numbers, or an object has a key twice; the message names the key.
        RecursionError: it is nested too deeply.
    """
    document = decode(data.decode("utf-8"))
    for place in repeated_keys(document):
        raise ValueError(f"{' > '.join(place)}: {REPEATED}")
    return document


def check_keys(data: bytes) -> None:
    """Refuse a JSON text in which an object has a key twice; nothing is kept, for documents of many megabytes.

    Raises:
        ValueError: an object has, or as :func:`decode`.
        RecursionError: it is nested too deeply.
    """
    json.loads(data.decode("utf-8"), object_pairs_hook=_check_pairs, parse_constant=_refuse_constant)


def repeated_keys(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the places of the keys that stand more than once in an object of what :func:`decode` returned."""
    if isinstance(value, Duplicates):
        yield from ((*place, key) for key in value.duplicates)
        for key, entry in value.items():
            yield from repeated_keys(entry, (*place, key))
    elif isinstance(value, list):
        for position, entry in enumerate(value):
            yield from repeated_keys(entry, (*place, str(position)))


def _check_pairs(pairs: list[tuple[str, Any]]) -> None:
    if len(dict(pairs)) < len(pairs):
        raise ValueError(f"an object has a key twice among {', '.join(ascii(key) for key, _ in pairs[:10])}")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"expected JSON numbers, found {name}")
