"""Readers of the values of a subset's options: from the command line, Python or YAML to a canonical form.

A reader takes a value and the name of its option, and raises a UsageError with both for a value that it cannot read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from registry.dataset.checks import load_checks
from registry.dataset.deepfashion2 import (
    ATTRIBUTE_CODES,
    OTHER_SOURCES,
    SOURCES,
    SPLITS,
    find_category,
    find_split,
    unknown_name,
)
from registry.dataset.image_names import read_image_name
from registry.errors import NotFoundError, UnknownNameError, UsageError
from registry.files.regular_files import read_regular, regular_size
from registry.parsing.text import ForeignEncodingError, decode_text

#: Lowest and highest number, both included.
Range = tuple[int, int]

#: Highest number of an image, a style or a pair_id.
_MAX_NUMBER: Final = 2**31 - 1
_RANGE: Final = re.compile(r"(\d{1,18})?(-)?(\d{1,18})?", re.ASCII)
#: A number of at most 18 digits, or a share: its digits before and after the point.
_SAMPLE: Final = re.compile(r"(\d{1,18})|(\d{1,18})(?:\.(\d{1,40}))?%", re.ASCII)
#: From here on a double does not tell neighbouring integers apart.
_EXACT: Final = 2**53
_BIGINT: Final = 2**63  # SQL's BIGINT ends below
#: Bytes of a list of images: some 30 times the list of all released images.
_LARGEST_LIST: Final = 64 << 20


def format_ranges(ranges: Iterable[Range]) -> list[int | str]:
    """Return ranges the way users write them: 7, "7-9", "100-"."""
    return [
        low if low == high else f"{low}-" if high == _MAX_NUMBER else f"{low}-{high}" if low else f"-{high}"
        for low, high in ranges
    ]


def as_list(value: Any) -> list[Any]:
    """Return the list of values of an option, which may be a single value."""
    return [value] if isinstance(value, str | int | float) else list(value)


def read_splits(value: Any, name: str) -> tuple[str, ...]:
    """Return names of splits, in the order of the release."""
    splits = {find_split(split) for split in as_list(value)}
    return tuple(split for split in SPLITS if split in splits)


def read_categories(value: Any, name: str) -> tuple[int, ...]:
    """Return sorted category ids, from ids and names."""
    return tuple(sorted({find_category(category).id for category in as_list(value)}))


def read_checks(value: Any, name: str) -> tuple[str, ...]:
    """Return sorted names of checks of this package."""
    checks = load_checks()
    for check in as_list(value):
        if check not in checks:
            raise UnknownNameError(
                f"{unknown_name('check', check, list(checks))} The rows of a check of your own are left out by a table "
                "with the rows that 'df2 check --rows' writes: --table odd=rows.parquet --where 'odd.split IS NULL'."
            )
    return tuple(sorted(set(as_list(value))))


def read_sources(value: Any, name: str) -> tuple[str, ...]:
    """Return ``user``, ``shop`` or both."""
    sources = as_list(value)
    for source in sources:
        if source not in SOURCES:
            raise unknown_name("source", source, list(SOURCES), OTHER_SOURCES)
    return tuple(source for source in SOURCES if source in sources)


def read_codes(value: Any, name: str) -> tuple[int, ...]:
    """Return sorted codes of the attribute ``name``, from codes, names of codes, and ranges such as 1-2."""
    codes = ATTRIBUTE_CODES[name]
    code_of = {meaning: code for code, meaning in codes.items()}
    chosen: set[int] = set()
    for code_or_name in as_list(value):
        text = str(code_or_name).strip().lower()
        low, _, high = text.partition("-")
        if text in code_of:
            chosen.add(code_of[text])
        elif low.isdecimal() and int(low) in codes and (high or low).isdecimal() and int(high or low) in codes:
            chosen |= set(range(int(low), int(high or low) + 1))
        else:
            raise unknown_name(f"value of {name}", code_or_name, [f"{code}" for code in codes] + list(code_of))
    return tuple(sorted(chosen))


def read_ranges(value: Any, name: str) -> tuple[Range, ...]:
    """Return sorted, separate ranges, from numbers and ranges such as 7-9, 100- and -100."""
    return merge_ranges(_read_range(number, name) for number in as_list(value))


def _read_range(value: Any, name: str, expected: str = "a number or a range such as 7, 7-9, 100- or -100") -> Range:
    is_long = isinstance(value, int) and abs(value) >= _BIGINT  # Python refuses to print numbers of 4,300 digits
    match = None if is_long else _RANGE.fullmatch(str(value).strip())
    if not match or not (match[1] or match[3]) or isinstance(value, bool):
        raise UsageError(f"{name} {shown_value(value)}: expected {expected}.")
    low = int(match[1] or 0)
    high = int(match[3]) if match[3] else (_MAX_NUMBER if match[2] else low)
    if max(low, high) > _MAX_NUMBER or low > high:
        raise UsageError(f"{name} {value!r}: expected the lower number first, and none above {_MAX_NUMBER}.")
    return low, high


def is_list_file(value: Any) -> bool:
    """Return whether a value of ``image_id`` names a file with a list of images: ``@FILE``."""
    return isinstance(value, str) and value.startswith("@")


def read_image_ids(value: Any, name: str) -> tuple[Range, ...]:
    """Return ranges of images as :func:`read_ranges` does, also from names of files.

    ``@FILE`` stands for the lines of a file, each with a number, a range or a name.
    """
    return merge_ranges(number for number, _, _ in _read_images(value, name))


def read_image_split(value: Any, name: str) -> str | None:
    """Return the split that names of files in a value of ``image_id`` hold; None without any.

    Raises:
        UsageError: they are files of several splits.
    """
    named: dict[str, str] = {}
    for _, split, place in _read_images(value, name):
        if split:
            named.setdefault(split, place)
    if len(named) > 1:
        places = ", ".join(f"{split} ({place})" for split, place in named.items())
        raise UsageError(
            f"{name}: expected files of one split, as numbers restart in every split; found {places}. "
            "Write a list for each split, and choose each by a subset of its own."
        )
    return next(iter(named), None)


def _read_images(value: Any, name: str) -> Iterator[tuple[Range, str | None, str]]:
    """Yield the range, the split if a file name holds it, and the place for messages, of each value or line."""
    for image in as_list(value):
        if not is_list_file(image):
            yield *_read_image(image, name), str(image)
            continue
        path, lines = _read_list_file(image, name)
        if not any(lines):
            raise UsageError(f"{name} {image}: {path} holds no number.")
        for line_no, line in enumerate(lines, 1):
            if line:
                yield *_read_image(line, f"{path}, line {line_no}: {name}"), f"{path}, line {line_no}"


def _read_image(value: Any, name: str) -> tuple[Range, str | None]:
    """Return the range that a number, a range or the name of a file stands for, and the split in the name."""
    text = value.strip() if isinstance(value, str) else ""
    image = None if _RANGE.fullmatch(text) else read_image_name(text)
    if image is None:
        expected = "a number, a range such as 7-9, 100- or -100, or a file such as 000001.jpg or train/image/000001.jpg"
        return _read_range(value, name, expected), None
    return _read_range(image[1], name), image[0]


def _read_list_file(value: str, name: str) -> tuple[Path, list[str]]:
    """Return the path of the file that ``@FILE`` names and its lines without blanks around them."""
    path = Path(value[1:])
    try:
        if regular_size(path) > _LARGEST_LIST:
            raise UsageError(f"{name} {value}: {path} has more than {_LARGEST_LIST >> 20} MiB.")
        lines = decode_text(read_regular(path)).split("\n")
    except FileNotFoundError as error:
        raise NotFoundError(f"{name} {value}: there is no file {path}.") from error
    except (OSError, UnicodeDecodeError, ForeignEncodingError) as error:
        raise UsageError(f"{name} {value}: {path} cannot be read: {error}") from error
    return path, [line.strip() for line in lines]


def merge_ranges(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Return sorted ranges; ranges that touch or overlap become a single range."""
    merged: list[Range] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(high, merged[-1][1])
        else:
            merged.append((low, high))
    return tuple(merged)


def read_flag(value: Any, name: str) -> bool:
    """Return True or False."""
    if not isinstance(value, bool):
        raise UsageError(f"{name}: expected true or false, found {value!r}.")
    return value


def read_area(value: Any, name: str) -> float:
    """Return an area in px²."""
    try:
        area = float(value)
    except (TypeError, ValueError, OverflowError):
        area = -1.0
    if not 0 <= area < float("inf") or isinstance(value, bool):
        raise UsageError(f"{name}: expected an area in px² of at least 0, found {shown_value(value)}.")
    if area >= _EXACT:  # its text would not read back to an equal number
        raise UsageError(f"{name}: expected an area below 2^53 px², found {shown_value(value)}.")
    return area


def read_where(value: Any, name: str) -> str:
    """Return an SQL condition without blanks around it; the store checks the SQL."""
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{name}: expected an SQL condition such as 'x2 - x1 > 100', found {value!r}.")
    return value.strip()


def read_sample(value: Any, name: str) -> str:
    """Return a number or share without superfluous zeros; the digits never pass through a double."""
    text = str(value).strip() if not isinstance(value, bool | float) else repr(value)
    match = _SAMPLE.fullmatch(text)
    whole = (match[2] or "").lstrip("0") or "0" if match else ""
    part = (match[3] or "").rstrip("0") if match else ""
    if not match or (match[2] and (int(whole) > 100 or (int(whole) == 100 and part))):
        raise UsageError(f"{name} {shown_value(value)}: expected a number such as 100 or a share such as 10%.")
    if match[1]:
        return str(int(text))
    return f"{whole}.{part}%" if part else f"{whole}%"


def read_limit(value: Any, name: str) -> int:
    """Return a whole number of at least 0."""
    return _read_bigint(value, name, minimum=0)


def read_seed(value: Any, name: str) -> int:
    """Return a whole number of at most 64 bits."""
    return _read_bigint(value, name, minimum=None)


def _read_bigint(value: Any, name: str, minimum: int | None) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name}: expected a whole number, found {shown_value(value)}.")
    if minimum is not None and value < minimum:
        raise UsageError(f"{name}: expected at least {minimum}, found {shown_value(value)}.")
    if not -_BIGINT <= value < _BIGINT:
        raise UsageError(f"{name}: expected a number of at most 64 bits, found {shown_value(value)}.")
    return value


def shown_value(value: Any) -> str:
    """Return a value for a message: on a single line of at most 80 characters."""
    if isinstance(value, int) and abs(value) >= 10**40:
        return "a number of more than 40 digits"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
