"""Applying corrections to decoded annotations, before they become rows. No I/O.

The result is what decoding the edited annotation files would give: an added item stands behind the others, added items
in order of their numbers. It works on columns of any source, not on the bytes of a file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from registry.dataset.deepfashion2 import CATEGORIES, CATEGORY_BY_ID
from registry.ingest.corrections import ADD, REMOVE, Correction, RawLine
from registry.ingest.decode import Annotations, Item
from registry.ingest.diagnose import IMAGE_FIELDS, item_no
from registry.sources.issues import Issue

_ID_BY_NAME: Final = {category.name: category.id for category in CATEGORIES}
#: Characters of a value in a message.
_MAX_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Corrected:
    """What became of corrections.

    Attributes:
        image_ids: the images whose corrections were looked at.
        bad_image_ids: the images with corrections whose annotations are bad.
        issues: problems of corrections that do not fit.
    """

    image_ids: tuple[int, ...] = ()
    bad_image_ids: tuple[int, ...] = ()
    issues: tuple[Issue, ...] = ()


def correct(columns: Annotations, corrections: Mapping[int, Sequence[RawLine]]) -> tuple[Annotations, Corrected]:
    """Return the corrected columns, and what became of the corrections.

    Args:
        columns: decoded annotations; they stay as they are.
        corrections: image_id -> its checked lines.
    """
    if not corrections:
        return columns, Corrected()
    issues: list[Issue] = []
    corrected = Annotations(image_ids=columns.image_ids)
    position = 0
    # Runs of images without corrections are copied as a whole.
    start_image = start_item = 0
    for image, image_id in enumerate(columns.image_ids):
        end = position + columns.num_items[image]
        if image_id in corrections:
            _copy(columns, corrected, slice(start_image, image), slice(start_item, position))
            corrected_image = _Image(image_id, columns, image, slice(position, end))
            corrected_image.apply([raw.parse() for raw in corrections[image_id]])
            corrected_image.append_to(corrected)
            issues += corrected_image.issues
            start_image, start_item = image + 1, end
        position = end
    _copy(columns, corrected, slice(start_image, len(columns.image_ids)), slice(start_item, position))
    # Landmarks that a COCO file does not tell are None.
    corrected.visibilities = [item.landmarks and item.landmarks[2::3] for item in corrected.items]
    found = tuple(image_id for image_id in columns.image_ids if image_id in corrections)
    return corrected, Corrected(found, tuple(corrections.keys() - set(found)), tuple(issues))


def _copy(columns: Annotations, corrected: Annotations, images: slice, items: slice) -> None:
    """Append images and their items without a change."""
    corrected.sources += columns.sources[images]
    corrected.pair_ids += columns.pair_ids[images]
    corrected.num_items += columns.num_items[images]
    corrected.item_keys += columns.item_keys[items]
    corrected.items += columns.items[items]
    corrected.num_corrections += [0] * (items.stop - items.start)


class _Image:
    """An image with its items, by number in the order of the file.

    Args:
        image_id: the image.
        columns: hold it.
        image: its position among the images.
        items: positions of its items.
    """

    def __init__(self, image_id: int, columns: Annotations, image: int, items: slice) -> None:
        self.issues: list[Issue] = []
        self._name = f"image {image_id}"
        self._values: dict[str, Any] = {"source": columns.sources[image], "pair_id": columns.pair_ids[image]}
        self._items = dict(zip(map(item_no, columns.item_keys[items]), columns.items[items], strict=True))
        self._counts = dict.fromkeys(self._items, 0)

    def apply(self, corrections: Sequence[Correction]) -> None:
        """Apply all corrections of the image; their order does not matter."""
        of_items: dict[int, list[Correction]] = {}
        num_of_image = 0
        for correction in corrections:
            if correction.line.field in IMAGE_FIELDS:
                self._correct_value(correction)
                num_of_image += 1
            else:
                of_items.setdefault(correction.line.item_no or 0, []).append(correction)
        for number in sorted(of_items):  # added items stand in order of their numbers
            self._correct_item(number, of_items[number])
        removing = next((c for c in corrections if c.line.field == REMOVE), None)
        if removing is not None and not self._items:
            text = f"removes the last item of {self._name}; expected one to stay, since a file has at least one item"
            self.issues.append(removing.issue("", text))
        for number in self._counts:
            self._counts[number] += num_of_image

    def append_to(self, corrected: Annotations) -> None:
        """Append the image and its items."""
        corrected.sources.append(self._values["source"])
        corrected.pair_ids.append(self._values["pair_id"])
        corrected.num_items.append(len(self._items))
        corrected.item_keys += [f"item{number}" for number in self._items]
        corrected.items += self._items.values()
        corrected.num_corrections += self._counts.values()

    def _correct_value(self, correction: Correction) -> None:
        name = correction.line.field
        if self._matches(correction, self._values[name]):
            self._values[name] = correction.new

    def _correct_item(self, number: int, corrections: Sequence[Correction]) -> None:
        first = corrections[0]
        item = self._items.get(number)
        if first.line.field == ADD:
            if item is None:
                self._items[number], self._counts[number] = first.new, 1
            else:
                self.issues.append(first.issue("item_no", f"{self._name} has an item {number} already"))
        elif item is None:
            text = f"{self._name} has no item {number}; it has {', '.join(map(str, sorted(self._items)))}"
            self.issues += [correction.issue("item_no", text) for correction in corrections]
        elif first.line.field == REMOVE:
            if self._matches(first, item):
                del self._items[number], self._counts[number]
        else:
            changes = {}
            for correction in corrections:
                name = correction.line.field
                if self._matches(correction, item.category_name if name == "category" else getattr(item, name)):
                    changes[name] = correction.new
            if len(changes) == len(corrections):
                changed = _changed(item, changes)
                self.issues += _length_issues(changed, corrections)
                self._items[number], self._counts[number] = changed, len(corrections)

    def _matches(self, correction: Correction, actual: Any) -> bool:
        """Return whether ``old`` is the value in the annotation file; report it if not."""
        if correction.old == actual:
            if correction.new != actual:
                return True
            self.issues.append(correction.issue("new", "is the same as old; expected another value"))
            return False
        at = _first_difference(correction.old, actual)
        text = f"expected the value in the annotation file, {_shown(actual)}, found {_shown(correction.old)}{at}"
        self.issues.append(correction.issue("old", text))
        return False


def _changed(item: Item, changes: Mapping[str, Any]) -> Item:
    """Return an item with other values; ``category`` stands for id and name."""
    values = dict(changes)
    if name := values.pop("category", None):
        values |= {"category_id": _ID_BY_NAME[name], "category_name": name}
    return msgspec.structs.replace(item, **values)


def _length_issues(item: Item, corrections: Sequence[Correction]) -> Iterator[Issue]:
    """Yield an issue if the landmarks of a corrected item are not those of its category."""
    category = CATEGORY_BY_ID[item.category_id]
    expected = 3 * category.num_landmarks
    if item.landmarks is not None and len(item.landmarks) != expected:
        by_field = {correction.line.field: correction for correction in corrections}
        correction = by_field.get("landmarks") or by_field["category"]
        text = f"expected {expected} numbers for category {category.id} ({category.name}), found {len(item.landmarks)}"
        if "landmarks" not in by_field:
            text = f"the category changes and the landmarks stay: {text}; correct the field landmarks too"
        yield correction.issue("new", text)


def _first_difference(old: Any, actual: Any) -> str:
    """Return a text for the place where two lists or items begin to differ; empty for other values."""
    if isinstance(old, Item) and isinstance(actual, Item):
        names = [name for name in Item.__struct_fields__ if getattr(old, name) != getattr(actual, name)]
        return f"; they differ in {', '.join(names)}"
    if isinstance(old, list | tuple) and isinstance(actual, list | tuple):
        for position, (old_number, number) in enumerate(zip(old, actual, strict=False)):
            if old_number != number:
                return f"; they differ from position {position} on"
        return f"; they have {len(actual)} and {len(old)} entries"
    return ""


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode() if isinstance(value, Item) else json.dumps(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 3]}..."
