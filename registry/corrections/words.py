"""Edits of an image as words: ``category=skirt``, ``occlusion=heavy``, ``remove``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from registry.corrections.edits import Edit
from registry.corrections.states import State
from registry.dataset.deepfashion2 import ATTRIBUTE_CODES, find_category
from registry.errors import NotFoundError, UsageError
from registry.ingest.corrections import ADD, CORRECTED_FIELDS, REMOVE
from registry.ingest.diagnose import IMAGE_FIELDS
from registry.parsing.json_files import load_json


def read_edits(item_no: int | None, words: Sequence[str], state: State, name: str) -> list[Edit]:
    """Return the edits of ``FIELD=VALUE`` words.

    Raises:
        UsageError: a field or the item does not exist, or a field is given twice.
    """
    values: dict[str, Any] = {}
    for word in words:
        field, equals, text = word.partition("=")
        if field not in CORRECTED_FIELDS or bool(equals) == (field == REMOVE):
            raise UsageError(
                f"Expected FIELD=VALUE with one of the fields {', '.join(CORRECTED_FIELDS[:-1])}, or remove; found "
                f"{word!r}."
            )
        if (field in IMAGE_FIELDS) != (item_no is None):
            expected = "no ITEM, since it is a field of the image" if field in IMAGE_FIELDS else "ITEM before it"
            raise UsageError(f"{field}: expected {expected}, as in 'df2 correct SPLIT IMAGE [ITEM] FIELD=VALUE'.")
        if field in values or (values and (field in (ADD, REMOVE) or ADD in values or REMOVE in values)):
            raise UsageError(f"{field}: expected each field once, and no other beside add and remove.")
        values[field] = None if field == REMOVE else _read_value(field, text)
    if item_no is not None:
        numbers = ", ".join(map(str, sorted(state.items)))
        if (item_no in state.items) == (ADD in values):
            problem = "has an item" if ADD in values else "has no item"
            raise NotFoundError(f"{name[0].upper()}{name[1:]} {problem} {item_no}; its items are {numbers}.")
        if values.get("landmarks", "") is None:
            category = find_category(values.get("category", state.items[item_no]["category_id"]))
            values["landmarks"] = [0] * (3 * category.num_landmarks)
    return [Edit(item_no, field, value) for field, value in values.items()]


def _read_value(field: str, text: str) -> Any:
    """Return the value of a field; None for ``landmarks=none``."""
    if field == "category":
        return find_category(text).name
    if field == "landmarks" and text == "none":
        return None
    for code, meaning in ATTRIBUTE_CODES.get(field, {}).items():
        if text == meaning or (text and meaning.startswith(text) and text.isalpha()):
            return code
    for written in (text, f"[{text}]"):
        try:
            value = load_json(written.encode())
        except (ValueError, RecursionError):
            continue
        return value
    return text
