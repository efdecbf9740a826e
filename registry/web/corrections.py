"""Corrections of an image in the browser, written as ``df2 correct`` writes them; never to the registry."""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from registry.corrections.edits import Author, correct, current
from registry.corrections.states import State, read_states
from registry.corrections.words import read_edits
from registry.dataset.deepfashion2 import ATTRIBUTE_CODES, CATEGORIES, SOURCES, find_split
from registry.errors import ConflictError, NotFoundError, UsageError
from registry.ingest.corrections import CORRECTED_FIELDS, REMOVE
from registry.ingest.diagnose import IMAGE_FIELDS
from registry.web.answers import Answer
from registry.web.forms import check_edits, text_of

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.requests import Request

    from registry.web.pictures import Key
    from registry.web.site import Site

#: Fields of an item that the form offers; landmarks and polygons are drawn in a labelling tool (``df2 import``).
_ITEM_FIELDS: Final = ("category", "style", *ATTRIBUTE_CODES, "bounding_box")


def correction_form(site: Site, key: Key) -> dict[str, Any] | None:
    """Return what the form of an image needs; None where this server writes nothing or there is no annotation.

    Raises:
        AnnotationError: the folder of corrections holds bad lines.
    """
    if not site.settings.edits:
        return None
    states = read_states(site.registry, key[0], [key[1]])
    if key[1] not in states:
        return None
    state = current(_folder(site), key[0], states)[key[1]]
    forms = [
        _form(state, None, IMAGE_FIELDS),
        *(_form(state, item_no, _ITEM_FIELDS) for item_no in sorted(state.items)),
    ]
    return {"split": key[0], "image_id": key[1], "forms": forms, "seen": _digest(state)}


def _form(state: State, item_no: int | None, names: Sequence[str]) -> dict[str, Any]:
    """Return the fields of a form with the values that the next ingestion makes."""
    fields = [{"name": name, "value": _text(state, item_no, name), "choices": _choices(name)} for name in names]
    return {"item_no": item_no, "fields": fields}


def _text(state: State, item_no: int | None, name: str) -> str:
    """Return the value of a field as its form shows it."""
    value = state.get(item_no, name)
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _choices(name: str) -> dict[str, str] | None:
    """Return the values of a field with what they mean; None for a field with any value."""
    if name == "category":
        return {category.name: category.name for category in CATEGORIES}
    if name == "source":
        return {source: source for source in SOURCES}
    codes = ATTRIBUTE_CODES.get(name)
    return None if codes is None else {str(code): f"{code} {meaning}" for code, meaning in codes.items()}


def correct_value(site: Site, request: Request, form: Mapping[str, str]) -> Answer:
    """Write a correction of an image or an item: all fields of the form that have another value.

    Fields: ``split``, ``image_id``, ``item_no`` (empty for the image), ``who``, ``why``, ``seen``, and new values by
    their names as ``df2 correct`` has them, such as ``style``; ``remove`` removes the item.

    Raises:
        NotFoundError: this server writes nothing, or there is no such image or item.
        UsageError: values are missing or wrong; the message lists all problems.
        ConflictError: the image was corrected since the form was shown, by the digest ``seen``.
    """
    check_edits(site)
    split = site.registry.check_split(find_split(form.get("split", "")))
    number = form.get("image_id", "")
    if not re.fullmatch("[0-9]{1,9}", number):
        raise UsageError("image_id: expected the number of an image.")
    image_id = int(number)
    item = form.get("item_no", "").strip()
    if item and not re.fullmatch("[0-9]{1,5}", item):
        raise UsageError("item_no: expected the number of an item, or nothing.")
    missing = [name for name in ("why", "who") if not form.get(name, "").strip()]
    if missing:
        raise UsageError(f"Nothing was written: expected a text for {', '.join(missing)}.")
    states = read_states(site.registry, split, [image_id])
    if image_id not in states:
        raise NotFoundError(f"Image {image_id} of {split} has no annotation to correct.")
    folder = _folder(site)
    seen = current(folder, split, states)
    if _digest(seen[image_id]) != form.get("seen"):
        raise ConflictError("Nothing was written: the values are no longer those that the page showed. Open it again.")
    number_of_item = int(item) if item else None
    words = _words(form, seen[image_id], number_of_item)
    edits = read_edits(number_of_item, words, seen[image_id], f"image {image_id} of {split}")
    by = Author(text_of(form, "who"), text_of(form, "why"), datetime.date.today().isoformat())
    changes = correct(folder, split, states, {image_id: edits}, by, seen=seen)
    if not changes.edited:
        raise UsageError("Nothing was written: the value is this one already.")
    lines = [*(text for text in changes.replaced.values() if text is not None), *changes.added]
    replaced = [f"{file}, line {line_no}" for file, line_no in changes.replaced]
    back = f"/image/{split}/{image_id}" + (f"?item={int(item)}" if item and REMOVE not in form else "")
    data = {"file": str(folder / f"{split}.jsonl"), "lines": lines, "replaced": replaced, "back": back}
    return Answer("written.html", "Corrected", data, context={"is_exception": False}, is_fixed=False)


def _words(form: Mapping[str, str], state: State, item_no: int | None) -> list[str]:
    """Return the values of a form that are others than those of the state, as words of ``df2 correct``.

    Raises:
        UsageError: there is none.
    """
    if REMOVE in form:
        return [REMOVE]
    fields = IMAGE_FIELDS if item_no is None else _ITEM_FIELDS
    is_there = item_no is None or item_no in state.items
    words = [
        f"{name}={form[name].strip()}"
        for name in CORRECTED_FIELDS
        if name in form and not (name in fields and is_there and form[name].strip() == _text(state, item_no, name))
    ]
    if not words:
        raise UsageError("Nothing was written: the values are these already.")
    return words


def _folder(site: Site) -> Path:
    return site.settings.params.parent / "corrections"


def _digest(state: State) -> str:
    return hashlib.sha256(repr((sorted(state.values.items()), sorted(state.items.items()))).encode()).hexdigest()[:32]
