"""Edits of images, written as lines into the files of a folder of corrections.

A line holds the value of the annotation file as ``old``, also where the folder or the registry has a correction of the
same field already: that line is replaced, or removed if the value becomes that of the annotation file again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from registry.corrections.states import State, differences
from registry.dataset.content_hash import HASHED
from registry.dataset.deepfashion2 import ATTRIBUTE_CODES, CATEGORY_BY_ID
from registry.dataset.tables import BOX_COLUMNS
from registry.errors import AnnotationError, ConflictError, UsageError
from registry.files.lock import locked
from registry.files.temporary import write_text
from registry.ingest.corrections import Correction, read_corrections
from registry.ingest.diagnose import check_field
from registry.ingest.json_checks import IssueCollector
from registry.parsing.json_files import decode
from registry.parsing.text import decode_text
from registry.sources.issues import summarise

_Key = tuple[int | None, str]


class Edit(NamedTuple):
    """A new value of a field; the value of ``add`` is a whole item, that of ``remove`` None."""

    item_no: int | None
    field: str
    value: Any


@dataclass(frozen=True, slots=True)
class Author:
    """Who corrects, why, and when (``2026-11-28``)."""

    who: str
    why: str
    date: str | None = None


@dataclass(slots=True)
class Changes:
    """Changes of the lines in a folder.

    Attributes:
        added: new lines.
        replaced: (file, line_no) -> its new text; None if the line is removed.
        edited: image_id, and its state before and after, of the images that change.
    """

    added: list[str] = field(default_factory=list)
    replaced: dict[tuple[str, int], str | None] = field(default_factory=dict)
    edited: list[tuple[int, State, State]] = field(default_factory=list)

    def rows(self, split: str) -> Iterator[dict[str, Any]]:
        """Yield the items that change, as rows of ``df2 diff --rows``."""
        for image_id, before, after in self.edited:
            for item_no in sorted(before.items.keys() | after.items.keys()):
                old, new = _columns(before, item_no), _columns(after, item_no)
                if old == new:
                    continue
                fields = [name for name in HASHED if old and new and old[name] != new[name]]
                key = {"split": split, "image_id": image_id, "item_no": item_no}
                if old and new:
                    change, old, new = "changed", {name: old[name] for name in fields}, {n: new[n] for n in fields}
                else:
                    change = "removed" if old else "added"
                item = after.items.get(item_no) or before.items[item_no]
                yield {"change": change, **key, "category_name": item["category_name"], "fields": fields,
                       "old": old, "new": new}  # fmt: skip


def _columns(state: State, item_no: int) -> dict[str, Any] | None:
    """Return the columns of the table items of an item; None if there is none."""
    if item_no not in state.items:
        return None
    item = {**state.values, **state.items[item_no]}
    item |= {name: float(edge) for name, edge in zip(BOX_COLUMNS, item["bounding_box"], strict=True)}
    landmarks = item["landmarks"]  # None in an item of a COCO file without them
    item["num_landmarks_labelled"] = None if landmarks is None else sum(v > 0 for v in landmarks[2::3])
    item["segmentation"] = [[float(number) for number in polygon] for polygon in item["segmentation"] or []]
    return {name: item[name] for name in HASHED}


def plan(
    folder: Path, split: str, states: Mapping[int, tuple[State, State]], edits: Mapping[int, Iterable[Edit]], by: Author
) -> Changes:
    """Return the lines that make edits of images, image by image.

    Args:
        folder: the folder of corrections; it need not exist.
        split: of the images.
        states: image_id -> its state in the registry, and before corrections.
        edits: image_id -> new values.
        by: author of new lines.

    Raises:
        AnnotationError: the folder holds bad lines.
        UsageError: an edit gives an item that an annotation file may not hold; the message lists all problems.
    """
    lines = _read_lines(folder, split)
    changes = Changes()
    problems: list[str] = []
    for image_id in sorted(edits):
        raw = states[image_id][1]
        existing = lines.get(image_id, {})
        before = _corrected(raw, existing)
        after = before.copy()
        for edit in edits[image_id]:
            after.set(*edit)
        problems += _problems(image_id, before, after)
        if differences(before, after):
            changes.edited.append((image_id, before, after))
        _add_lines(changes, split, image_id, existing, raw, (before, after), by)
    if problems:
        raise UsageError(f"Nothing was written: {summarise(problems, 'problem')}")
    return changes


def current(folder: Path, split: str, states: Mapping[int, tuple[State, State]]) -> dict[int, State]:
    """Return image_id -> its state with the corrections of a folder, which the registry need not have applied.

    Raises:
        AnnotationError: the folder holds bad lines.
    """
    lines = _read_lines(folder, split)
    return {image_id: _corrected(raw, lines.get(image_id, {})) for image_id, (_, raw) in states.items()}


def _corrected(raw: State, existing: Mapping[_Key, Correction]) -> State:
    state = raw.copy()
    for (item_no, name), correction in existing.items():
        state.set(item_no, name, _new_value(correction))
    return state


def write(folder: Path, split: str, changes: Changes) -> None:
    """Write changed lines; new ones stand at the end of ``SPLIT.jsonl``. Each file is replaced in one step.

    Raises:
        StorageError: a file cannot be written.
    """
    added_to = str(folder / f"{split}.jsonl")
    files = {file for file, _ in changes.replaced} | ({added_to} if changes.added else set())
    for file in sorted(files):
        path = Path(file)
        lines: list[str | None] = []
        if path.exists():
            lines += decode_text(path.read_bytes()).split("\n")
        while lines and not lines[-1]:
            lines.pop()
        for (name, line_no), text in changes.replaced.items():
            if name == file:
                lines[line_no - 1] = text
        lines += changes.added if file == added_to else []
        write_text(path, "".join(f"{line}\n" for line in lines if line is not None))


def correct(
    folder: Path,
    split: str,
    states: Mapping[int, tuple[State, State]],
    edits: Mapping[int, Iterable[Edit]],
    by: Author,
    *,
    seen: Mapping[int, State] | None = None,
) -> Changes:
    """Plan edits and write their lines, while no other process does; return the changes.

    Args:
        folder: the folder of corrections; it need not exist.
        split: of the images.
        states: image_id -> its state in the registry, and before corrections.
        edits: image_id -> new values.
        by: author of new lines.
        seen: what the author saw, as :func:`current` returned it; None to overwrite lines written since.

    Raises:
        AnnotationError, UsageError: as :func:`plan`.
        ConflictError: the images are not as the author saw them.
        StorageError: the folder cannot be written.
    """
    with locked(folder, str(folder), wait=True):
        if seen is not None and current(folder, split, {image_id: states[image_id] for image_id in seen}) != seen:
            raise ConflictError("Nothing was written: the values were corrected since they were shown.")
        changes = plan(folder, split, states, edits, by)
        write(folder, split, changes)
    return changes


def _read_lines(folder: Path, split: str) -> dict[int, dict[_Key, Correction]]:
    """Return image_id -> (item_no, field) -> the correction in the folder."""
    if not folder.is_dir():
        return {}
    corrections = read_corrections(folder, split)
    if corrections.issues:
        raise AnnotationError(
            f"Nothing was written, since {folder} holds lines to mend first: {summarise(corrections.issues)}"
        )
    parsed = {image_id: [raw.parse() for raw in raws] for image_id, raws in corrections.by_image.items()}
    return {image_id: {(c.line.item_no, c.line.field): c for c in of_image} for image_id, of_image in parsed.items()}


def _json(raw: Any) -> Any:
    data = bytes(raw)
    return json.loads(data) if data else None


def _new_value(correction: Correction) -> Any:
    return _json(correction.line.new)


def _problems(image_id: int, before: State, after: State) -> list[str]:
    """Return the problems of the values that an edit changes."""
    collector = IssueCollector(f"image {image_id}")
    for name, value in after.values.items():
        if value != before.values[name]:
            check_field(name, value, (name,), collector.report)
    for item_no, item in after.items.items():
        if item != before.items.get(item_no):
            try:
                document = decode(json.dumps(_filled(item) if item_no in before.items else item, allow_nan=False))
            except ValueError:  # 1e999 is read as an infinite number
                collector.report((f"item{item_no}",), "expected numbers of JSON, found an infinite one")
                continue
            collector.run(lambda: check_field("add", document, (f"item{item_no}",), collector.report))  # noqa: B023
    if not after.items:
        collector.report((), "its last item would be removed; expected one to stay")
    return [str(issue) for issue in collector.issues]


def _filled(item: Mapping[str, Any]) -> dict[str, Any]:
    """Return an item with valid values where a COCO file had none, so that its other values can be checked."""
    num_landmarks = CATEGORY_BY_ID[item["category_id"]].num_landmarks
    values = {
        "style": 0,
        "landmarks": [0] * (3 * num_landmarks),
        "segmentation": [],
        **dict.fromkeys(ATTRIBUTE_CODES, 1),
    }
    return {name: values.get(name) if value is None else value for name, value in item.items()}


def _add_lines(
    changes: Changes,
    split: str,
    image_id: int,
    existing: Mapping[_Key, Correction],
    raw: State,
    states: tuple[State, State],
    by: Author,
) -> None:
    """Add the lines that lead from the annotation file to the new state, for the items that change."""
    before, after = states
    touched = {item_no for item_no, *_ in differences(before, after)}
    needed = {(item_no, name): (old, new) for item_no, name, old, new in differences(raw, after) if item_no in touched}
    for (item_no, name), correction in existing.items():
        if item_no not in touched:
            continue
        key = (correction.raw.file, correction.raw.line_no)
        if (item_no, name) not in needed:
            changes.replaced[key] = None
            continue
        old, new = needed.pop((item_no, name))
        if new != _new_value(correction):
            changes.replaced[key] = line_text(split, image_id, item_no, name, old, new, by)
    changes.added += [
        line_text(split, image_id, item_no, name, old, new, by) for (item_no, name), (old, new) in needed.items()
    ]


_KEYS: Final = ("split", "image_id", "item_no", "field", "old", "new", "who", "why", "date")


def line_text(split: str, image_id: int, item_no: int | None, name: str, old: Any, new: Any, by: Author) -> str:
    """Return a line of a file of corrections, without keys that have no value."""
    values = (split, image_id, item_no, name, old, new, by.who, by.why, by.date)
    return json.dumps({k: v for k, v in zip(_KEYS, values, strict=True) if v is not None}, ensure_ascii=False)
