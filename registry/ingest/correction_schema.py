"""The JSON Schema of a line of corrections, generated from the types that read it."""

from __future__ import annotations

from typing import Any, get_type_hints

import msgspec

from registry.dataset.deepfashion2 import SPLITS
from registry.ingest.corrections import ADD, CORRECTED_FIELDS, REMOVE, VALUE_TYPES, Line
from registry.ingest.diagnose import IMAGE_FIELDS

_MEANINGS = {
    "split": "Split of the image.",
    "image_id": "Number in the name of the annotation file.",
    "item_no": "Number of the item in its file (2 for item2); null or absent for source and pair_id.",
    "field": "What is corrected. category stands for category_name and category_id; add and remove for a whole item.",
    "old": "The value in the annotation file, in its form; the whole item for remove, none for add.",
    "new": "The right value, in the form of the annotation file; the whole item for add, none for remove.",
    "who": "Author of the correction.",
    "why": "Its reason.",
    "date": "Its date.",
}


def correction_schema() -> dict[str, Any]:
    """Return the content of ``schemas/correction.json``."""
    names = list(CORRECTED_FIELDS)
    values, components = msgspec.json.schema_components(
        [VALUE_TYPES[name] for name in names], ref_template="#/$defs/{name}"
    )
    types = get_type_hints(Line, include_extras=True)
    properties = {name: msgspec.json.schema(types[name]) | {"description": text} for name, text in _MEANINGS.items()}
    properties["split"]["enum"] = list(SPLITS)  # in their own order
    properties["field"]["enum"] = names
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A correction: a line of corrections/*.jsonl",
        "type": "object",
        "properties": properties,
        "required": ["split", "image_id", "field", "who", "why"],
        "additionalProperties": False,
        "allOf": [_rule(name, value) for name, value in zip(names, values, strict=True)],
        "$defs": components,
    }


def _rule(name: str, value: dict[str, Any]) -> dict[str, Any]:
    """Return the rule for old, new and item_no of a field."""
    keys = {ADD: ["new"], REMOVE: ["old"]}.get(name, ["old", "new"])
    absent: dict[str, Any] = {key: {"type": "null"} for key in ("old", "new") if key not in keys}
    if name in IMAGE_FIELDS:
        absent["item_no"] = {"type": "null"}
    else:
        keys = ["item_no", *keys]
    present = {key: {"type": "integer"} if key == "item_no" else value for key in keys}
    return {
        "if": {"properties": {"field": {"const": name}}},
        "then": {"properties": present | absent, "required": keys},
    }
