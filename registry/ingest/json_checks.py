"""Checks of parsed JSON that annotations and retrieval lists share, and the issues they report."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Collection
from contextlib import suppress
from typing import Any, Final

from registry.parsing import text
from registry.parsing.json_files import REPEATED, CutNumber, Duplicates, decode, lost_digits
from registry.sources.issues import MAX_ISSUES_PER_FILE, Issue

#: Beyond this a double cannot represent every integer.
EXACT_MAX: Final = 2**53

#: Keys that lead to a value in the document, outermost first.
Place = tuple[str, ...]
#: Reports an issue: its place and its text.
Report = Callable[[Place, str], None]
#: Issues of a file to count beyond those that are reported; with more, the file is not checked further.
_MAX_COUNTED: Final = 10_000


class _TooManyIssuesError(Exception):
    """A file has more issues than are counted."""


class IssueCollector:
    """The issues of a file: the first :data:`MAX_ISSUES_PER_FILE` of them, and the number of the rest.

    Args:
        file: path of the file in the source.
    """

    def __init__(self, file: str) -> None:
        self._file = file
        self._issues: set[Issue] = set()
        self._num_more = 0

    def __bool__(self) -> bool:
        return bool(self._issues)

    def report(self, place: Place, text: str) -> None:
        """Add an issue, or count it if there are enough.

        Raises:
            _TooManyIssuesError: no more issues are counted.
        """
        if len(self._issues) < MAX_ISSUES_PER_FILE:
            self._issues.add(Issue(self._file, tuple(map(_shown_key, place)), text))
        else:
            self._num_more += 1
            if self._num_more >= _MAX_COUNTED:
                raise _TooManyIssuesError

    def run(self, check: Callable[[], None]) -> None:
        """Call a check that reports here; it ends early at too many issues."""
        with suppress(_TooManyIssuesError):
            check()

    @property
    def issues(self) -> list[Issue]:
        """The issues, sorted."""
        if not self._num_more:
            return sorted(self._issues)
        number = f"{self._num_more:,}" if self._num_more < _MAX_COUNTED else f"{_MAX_COUNTED:,} or more"
        text = f"has {number} issues more than the {MAX_ISSUES_PER_FILE} that are told"
        return sorted([Issue(self._file, (), text), *self._issues])


def decode_text(data: bytes, report: Report) -> str | None:
    """Return the text of UTF-8 bytes without a byte order mark, or None after reporting the first invalid byte."""
    try:
        return text.decode_text(data)
    except text.ForeignEncodingError as error:
        report((), str(error))
    except UnicodeDecodeError as error:
        report((), f"expected UTF-8 text, found byte 0x{error.object[error.start]:02x} at byte {error.start}")
    return None


def parse_json(data: bytes, report: Report, expected: str = "one JSON object") -> Any:
    """Return the parsed JSON, or None after reporting why it cannot be parsed; ``expected`` describes it."""
    if not text.without_mark(data).strip(b" \t\r\n"):
        report((), f"the file is empty; expected {expected}")
        return None
    document = decode_text(data, report)
    if document is None:
        return None
    try:
        return decode(document)
    except json.JSONDecodeError as error:
        report((), f"expected valid JSON: {error.msg} (character {error.pos} of {len(document)})")
    except RecursionError:
        report((), "expected JSON nested at most 4 deep, found it nested too deeply to read")
    except ValueError as error:  # NaN, Infinity, or an integer with too many digits for Python
        report((), str(error).partition(":")[0] if "digits" in str(error) else str(error))
    return None


def check_box(item: Duplicates, key: str, place: Place, report: Report) -> Any:
    """Return ``item[key]`` as a box (x1, y1, x2, y2), or None after reporting why it is not valid."""
    box = check_list(item, key, "[x1, y1, x2, y2]", place, report)
    if box is None:
        return None
    place = (*place, key)
    if len(box) != 4:
        report(place, f"expected 4 numbers (x1, y1, x2, y2), found {len(box)}")
    are_valid = [check_number(number, (*place, str(index)), report) for index, number in enumerate(box)]
    return tuple(map(float, box)) if len(box) == 4 and all(are_valid) else None


def check_duplicates(value: Duplicates, place: Place, report: Report) -> None:
    """Report the keys that occur more than once in an object."""
    for key in value.duplicates:
        report((*place, key), REPEATED)


def check_object(value: Any, keys: Collection[str] | None, place: Place, report: Report) -> bool:
    """Return whether a value is a JSON object; report another value, repeated keys and unknown keys.

    Args:
        value: the value.
        keys: the known keys; None allows all.
        place: keys and positions that lead to the value.
        report: called with the place and the text of each problem.
    """
    if not isinstance(value, Duplicates):
        report(place, f"expected an object, found {kind_of(value)}")
        return False
    check_duplicates(value, place, report)
    if keys is not None:
        for key in value:
            if key not in keys:
                report((*place, key), f"unknown key; expected {', '.join(keys)}")
    return True


def check_int(item: Duplicates, key: str, low: int, high: int, place: Place, report: Report) -> bool:
    """Return whether ``item[key]`` is an integer from ``low`` to ``high``; report it if not."""
    expected = f"an integer from {low} to {high}"
    if key not in item:
        report((*place, key), f"missing; expected {expected}")
    elif type(item[key]) is not int or not low <= item[key] <= high:
        report((*place, key), f"expected {expected}, found {shown(item[key])}")
    else:
        return True
    return False


def check_number(number: Any, place: Place, report: Report) -> bool:
    """Return whether a value is a number that a double represents exactly; report it if not."""
    if type(number) not in (int, float, CutNumber):
        report(place, f"expected a number, found {shown(number)}")
    elif isinstance(number, float) and not math.isfinite(number):
        report(place, "expected a number that fits a double, found one that is too large")
    elif abs(number) >= EXACT_MAX:
        report(place, f"expected a number below 2^53 in size, found {shown(number)}")
    elif isinstance(number, CutNumber):
        report(place, f"expected {lost_digits(number.literal)}, found {shown(number)}")
    else:
        return True
    return False


def check_list(item: Duplicates, key: str, expected: str, place: Place, report: Report) -> list[Any] | None:
    """Return ``item[key]``, or None after reporting that it is not a list; ``expected`` describes it."""
    if key not in item:
        report((*place, key), f"missing; expected {expected}")
    elif not isinstance(item[key], list):
        report((*place, key), f"expected {expected}, found {kind_of(item[key])}")
    else:
        values: list[Any] = item[key]
        return values
    return None


def kind_of(value: Any) -> str:
    """Return the kind of a JSON value for a message, such as ``an object``."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "a truth value", type(None): "null"}
    return names.get(dict if isinstance(value, dict) else type(value), "a number")


def shown(value: Any) -> str:
    """Return a JSON value for a message, shortened to 40 characters."""
    if isinstance(value, dict | list):
        return kind_of(value)
    if type(value) is int and abs(value) >= 10**40:
        return "an integer of more than 40 digits"
    text = value.literal if isinstance(value, CutNumber) else json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _shown_key(key: str) -> str:
    """Return a key for a message; quoted and shortened if it is long or not printable."""
    return key if key and key.isprintable() and len(key) <= 40 else shown(key)
