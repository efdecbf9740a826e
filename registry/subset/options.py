"""A subset of a registry: which items, said once and the same on the command line, in Python and in params.yaml.

A subset is plain data with one canonical text; :mod:`registry.store.selection` finds what it holds. Nothing here
asks a registry.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final

from registry.dataset.deepfashion2 import (
    ATTRIBUTE_CODES,
    CATEGORIES,
    SOURCES,
    SPLITS,
    find_category,
    find_split,
    unknown_name,
)
from registry.errors import NotFoundError, UsageError
from registry.files.regular_files import read_regular, regular_size
from registry.parsing.yaml_files import load_yaml

#: Lowest and highest number, both included.
Range = tuple[int, int]

_MOST: Final = 2**31 - 1
_RANGE: Final = re.compile(r"(\d{1,18})?(-)?(\d{1,18})?", re.ASCII)
#: A number of at most 18 digits, or a share: its digits before and after the point.
_SAMPLE: Final = re.compile(r"(\d{1,18})|(\d{1,18})(?:\.(\d{1,40}))?%", re.ASCII)
#: Beyond this a double no longer tells neighbouring integers apart; SQL's BIGINT ends at 2^63.
_EXACT: Final = 2**53
_BIGINT: Final = 2**63
#: Options that speak of items, not of whole images: with one of them, images without a matching item are left out.
_OF_ITEMS: Final = ("category", *ATTRIBUTE_CODES, "style", "has_landmarks", "min_box_area", "where", "paired")


@dataclass(frozen=True, slots=True)
class Subset:
    """Which items of a registry; without any option, all of them and all images.

    Options of one kind are alternatives (``category`` of two names: either), different kinds all have to hold.

    Attributes:
        split: names of splits.
        category: category ids.
        source: ``user``, ``shop``.
        scale: codes, as ``occlusion``, ``zoom_in`` and ``viewpoint``.
        style: ranges of styles, as ``pair_id`` and ``image_id``.
        has_landmarks: only items with at least one labelled landmark (v > 0).
        min_box_area: only items whose box has at least this area, px².
        where: SQL condition over the columns of the table items.
        paired: only items with a counterpart inside the subset: of the same identity, from the other source.
        whole_images: all items of every image with a matching item.
        sample: a number (``100``) or share (``10%``) of items, chosen by a hash of their key, so that the choice
            hardly changes when data is added. Of whole identities with ``paired``, else of whole images with
            ``whole_images``.
        seed: of the sample.
        limit: at most so many items (identities, images, as for ``sample``), the first in order.
    """

    split: tuple[str, ...] = ()
    category: tuple[int, ...] = ()
    source: tuple[str, ...] = ()
    scale: tuple[int, ...] = ()
    occlusion: tuple[int, ...] = ()
    zoom_in: tuple[int, ...] = ()
    viewpoint: tuple[int, ...] = ()
    style: tuple[Range, ...] = ()
    pair_id: tuple[Range, ...] = ()
    image_id: tuple[Range, ...] = ()
    has_landmarks: bool = False
    min_box_area: float | None = None
    where: str | None = None
    paired: bool = False
    whole_images: bool = False
    sample: str | None = None
    seed: int = 0
    limit: int | None = None

    @classmethod
    def of(cls, /, **options: Any) -> Subset:
        """Return the subset for options as people write them.

        Every option takes one value or several: names or numbers of categories (``"skirt"``, ``9``), codes or names
        of attributes (``1``, ``"slight or none"``, ``"1-2"``), numbers and ranges (``7``, ``"7-9"``, ``"100-"``),
        for ``image_id`` also ``"@FILE"`` with one of these (or a file name such as 000001.jpg) a line.
        Hyphens in option names count as underscores. None and empty values say nothing.

        Raises:
            UsageError: an option or value that does not exist; the message lists what does.
            NotFoundError: the file after ``@`` is not there.
        """
        return cls._of(options, files=True)

    @classmethod
    def of_document(cls, options: Mapping[str, Any]) -> Subset:
        """Return the subset in a document that others may have written, as :meth:`of`: no file is read for it.

        Raises:
            UsageError: as for :meth:`of`, and for ``"@FILE"``.
        """
        return cls._of(options, files=False)

    @classmethod
    def _of(cls, options: Mapping[str, Any], *, files: bool) -> Subset:
        known = [field.name for field in fields(cls)]
        values: dict[str, Any] = {}
        for given, value in options.items():
            name = given.replace("-", "_")
            if name not in known:
                raise unknown_name("option of a subset", given, known)
            if value is None or (isinstance(value, str | Sequence | Mapping) and not value):
                continue
            if isinstance(value, Mapping):
                raise UsageError(f"{name}: expected a value or a list of values, found {value!r}.")
            if not files and name == "image_id" and any(str(one).startswith("@") for one in _several(value)):
                raise UsageError(f"{name} {value!r}: expected numbers and ranges; no file is read for it here.")
            try:
                values[name] = _READERS[name](value, name)
            except (TypeError, ValueError, OverflowError) as error:  # a number of thousands of digits
                raise UsageError(f"{name}: {str(value)[:80]!r} cannot be read: {error}.") from error
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """Return the options that say something, as plain values that :meth:`of` reads back to an equal subset."""
        found: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value == field.default or (field.name == "seed" and self.sample is None):
                continue
            found[field.name] = _plain(field.name, value)
        return found

    @property
    def text(self) -> str:
        """The canonical text: JSON of the options, the same for every way to say the same subset."""
        return json.dumps(self.to_dict(), sort_keys=True, ensure_ascii=False)

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical text, hex digits."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def picks_items(self) -> bool:
        """Whether an image has to have a matching item to belong to it (images without any item do not then)."""
        options = self.to_dict()
        by_unit = not self.whole_images and ("sample" in options or "limit" in options)
        return by_unit or any(name in options for name in _OF_ITEMS)


def load_params(path: Path) -> Any:
    """Return what a parameter file holds.

    Raises:
        FileNotFoundError: there is no such file.
        UsageError: it is no YAML within the bounds of :mod:`registry.parsing.yaml_files`.
    """
    return load_yaml(path)


def load_sources(params: str | Path = "params.yaml") -> dict[str, str]:
    """Return where the raw files of each split lie, by the ``splits`` of a parameter file; nothing without one.

    Raises:
        UsageError: the file is no YAML.
    """
    path = Path(params)
    try:
        document = load_params(path)
    except FileNotFoundError:
        return {}
    splits = document.get("splits") if isinstance(document, dict) else None
    found = {}
    for split, entry in (splits if isinstance(splits, dict) else {}).items():
        source = entry.get("source") if isinstance(entry, dict) else None
        if isinstance(source, str):
            found[split] = source if "://" in source else str(path.parent / source)
    return found


def load_subset(name: str, params: str | Path = "params.yaml") -> dict[str, Any]:
    """Return the options of a named subset: an entry below ``subsets`` of a parameter file.

    Raises:
        NotFoundError: there is no such file.
        UsageError: the file is no YAML, or there is no subset of this name; the message lists what there is.
    """
    path = Path(params)
    try:
        document = load_params(path)
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no {path}: named subsets stand below 'subsets:' in it.") from error
    named = (document or {}).get("subsets") if isinstance(document, dict | None) else None
    if not isinstance(named, dict) or not named:
        raise UsageError(f"{path} names no subset: expected 'subsets:' with one entry a name.")
    if name not in named:
        raise unknown_name(f"subset in {path}", name, [str(key) for key in named])
    if not isinstance(named[name], dict | None):
        raise UsageError(f"{path}, subset {name}: expected options such as 'category: [skirt]', found {named[name]!r}.")
    return dict(named[name] or {})


def format_ranges(ranges: Iterable[Range]) -> list[int | str]:
    """Return ranges as they are written: 7, "7-9", "100-"."""
    return [
        low if low == high else f"{low}-" if high == _MOST else f"{low}-{high}" if low else f"-{high}"
        for low, high in ranges
    ]


def _plain(name: str, value: Any) -> Any:
    if name in ("style", "pair_id", "image_id"):
        return format_ranges(value)
    if name == "category":
        return [next(c.name for c in CATEGORIES if c.id == one) for one in value]
    return list(value) if isinstance(value, tuple) else value


def _several(value: Any) -> list[Any]:
    return [value] if isinstance(value, str | int | float) else list(value)


def _read_splits(value: Any, name: str) -> tuple[str, ...]:
    found = {find_split(one) for one in _several(value)}
    return tuple(split for split in SPLITS if split in found)


def _read_categories(value: Any, name: str) -> tuple[int, ...]:
    return tuple(sorted({find_category(one).id for one in _several(value)}))


def _read_sources(value: Any, name: str) -> tuple[str, ...]:
    given = _several(value)
    for one in given:
        if one not in SOURCES:
            raise unknown_name("source", one, list(SOURCES))
    return tuple(source for source in SOURCES if source in given)


def _read_codes(value: Any, name: str) -> tuple[int, ...]:
    """Return the codes of an attribute from codes, ranges of codes and names."""
    codes = ATTRIBUTE_CODES[name]
    by_name = {meaning: code for code, meaning in codes.items()}
    found: set[int] = set()
    for one in _several(value):
        text = str(one).strip().lower()
        low, _, high = text.partition("-")
        if text in by_name:
            found.add(by_name[text])
        elif low.isdecimal() and int(low) in codes and (high or low).isdecimal() and int(high or low) in codes:
            found |= set(range(int(low), int(high or low) + 1))
        else:
            raise unknown_name(f"value of {name}", one, [f"{code}" for code in codes] + list(by_name))
    return tuple(sorted(found))


def _read_ranges(value: Any, name: str) -> tuple[Range, ...]:
    return merge_ranges(_read_range(one, name) for one in _several(value))


def _read_range(value: Any, name: str) -> Range:
    is_long = isinstance(value, int) and abs(value) >= _BIGINT  # the text of very long ones is an error of Python
    match = None if is_long else _RANGE.fullmatch(str(value).strip())
    if not match or not (match[1] or match[3]) or isinstance(value, bool):
        raise UsageError(f"{name} {shown_value(value)}: expected a number or a range such as 7, 7-9, 100- or -100.")
    low = int(match[1] or 0)
    high = int(match[3]) if match[3] else (_MOST if match[2] else low)
    if max(low, high) > _MOST or low > high:
        raise UsageError(f"{name} {value!r}: expected the lower number first, and none above {_MOST}.")
    return low, high


#: Bytes of a list of images: some 30 times all of the released ones.
_LARGEST_LIST: Final = 64 << 20


def _read_image_ids(value: Any, name: str) -> tuple[Range, ...]:
    ranges: list[Range] = []
    for one in _several(value):
        if not (isinstance(one, str) and one.startswith("@")):
            ranges.append(_read_range(one, name))
            continue
        path = Path(one[1:])
        try:
            if regular_size(path) > _LARGEST_LIST:
                raise UsageError(f"{name} {one}: {path} has more than {_LARGEST_LIST >> 20} MiB.")
            lines = read_regular(path).decode().split("\n")
        except FileNotFoundError as error:
            raise NotFoundError(f"{name} {one}: there is no file {path}.") from error
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{name} {one}: {path} cannot be read: {error}") from error
        for number, line in enumerate(lines, start=1):
            text = line.strip().removesuffix(".jpg").removesuffix(".json")
            if text:
                ranges.append(_read_range(text, f"{path}, line {number}: {name}"))
        if not ranges:
            raise UsageError(f"{name} {one}: {path} holds no number.")
    return merge_ranges(ranges)


def merge_ranges(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Return ranges sorted, those that touch or overlap as one."""
    merged: list[Range] = []
    for low, high in sorted(ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = merged[-1][0], max(high, merged[-1][1])
        else:
            merged.append((low, high))
    return tuple(merged)


def _read_flag(value: Any, name: str) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{name}: expected true or false, found {value!r}.")
    return value


def _read_area(value: Any, name: str) -> float:
    try:
        area = float(value)
    except (TypeError, ValueError, OverflowError):
        area = -1.0
    if not 0 <= area < float("inf") or isinstance(value, bool):
        raise UsageError(f"{name}: expected an area in px² of at least 0, found {shown_value(value)}.")
    if area >= _EXACT:  # what was said would not read back
        raise UsageError(f"{name}: expected an area below 2^53 px², found {shown_value(value)}.")
    return area


def _read_where(value: Any, name: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise UsageError(f"{name}: expected an SQL condition such as 'x2 - x1 > 100', found {value!r}.")
    return value.strip()


def _read_sample(value: Any, name: str) -> str:
    """Return a number or share as it was said, without zeros that say nothing; never by way of a double."""
    text = str(value).strip() if not isinstance(value, bool | float) else repr(value)
    match = _SAMPLE.fullmatch(text)
    whole = (match[2] or "").lstrip("0") or "0" if match else ""
    part = (match[3] or "").rstrip("0") if match else ""
    if not match or (match[2] and (int(whole) > 100 or (int(whole) == 100 and part))):
        raise UsageError(f"{name} {shown_value(value)}: expected a number such as 100 or a share such as 10%.")
    if match[1]:
        return str(int(text))
    return f"{whole}.{part}%" if part else f"{whole}%"


def _read_count(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise UsageError(f"{name}: expected a whole number, found {shown_value(value)}.")
    if name == "limit" and value < 0:
        raise UsageError(f"{name}: expected at least 0, found {shown_value(value)}.")
    if not -_BIGINT <= value < _BIGINT:
        raise UsageError(f"{name}: expected a number of at most 64 bits, found {shown_value(value)}.")
    return value


def shown_value(value: Any) -> str:
    """Return a value as a message shows it: in one line, and short."""
    if isinstance(value, int) and abs(value) >= 10**40:
        return "a number of more than 40 digits"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


_READERS: Final[Mapping[str, Any]] = {
    "split": _read_splits,
    "category": _read_categories,
    "source": _read_sources,
    **dict.fromkeys(ATTRIBUTE_CODES, _read_codes),
    "style": _read_ranges,
    "pair_id": _read_ranges,
    "image_id": _read_image_ids,
    "has_landmarks": _read_flag,
    "min_box_area": _read_area,
    "where": _read_where,
    "paired": _read_flag,
    "whole_images": _read_flag,
    "sample": _read_sample,
    "seed": _read_count,
    "limit": _read_count,
}
