"""Accepted exceptions: rows of checks that somebody looked at and found right, a line of JSON each, in git."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from registry.checks.find import Checks
from registry.dataset.checks import load_checks
from registry.dataset.deepfashion2 import unknown_name
from registry.errors import UsageError
from registry.files.lock import locked
from registry.files.temporary import replacing
from registry.parsing.json_files import load_json
from registry.parsing.text import ForeignEncodingError, decode_text

#: Beside params.yaml.
ACCEPTED_FILE: Final = "checks/accepted.jsonl"
_MOST_BYTES: Final = 64 << 20
_SHOWN: Final = 20
_Text = Annotated[str, msgspec.Meta(min_length=1, pattern=r"\S")]


class Line(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of the file.

    Attributes:
        check: name of the check.
        key: the columns of the check's key with the values of the row.
        why: the reason to accept the row.
        who: who accepts it.
    """

    check: _Text
    key: dict[str, str | int | None]
    why: _Text
    who: _Text | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """An accepted row.

    Attributes:
        place: file and line, for messages.
        values: of the key's columns in the order of the check, as texts.
    """

    place: str
    values: tuple[str | None, ...]


def read_accepted(path: Path, checks: Checks) -> dict[str, list[Accepted]]:
    """Return the accepted rows of each check; none without the file.

    Raises:
        UsageError: a line is no exception of a check; the message names all such lines.
    """
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise UsageError(f"{path} is too large: expected at most {_MOST_BYTES:,} bytes.")
        text = decode_text(path.read_bytes())
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, ForeignEncodingError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from error
    accepted: dict[str, list[Accepted]] = {}
    places: dict[tuple[str, tuple[str | None, ...]], str] = {}
    problems = []
    unknown = cache(lambda name: unknown_name("check", name, checks.names))  # it looks for similar names, slowly
    for line_no, line_text in enumerate(text.split("\n"), 1):
        if not line_text.strip():
            continue
        place = f"{path}, line {line_no}"
        try:
            line = msgspec.convert(load_json(line_text.encode()), Line)
            if line.check not in checks.names:
                raise unknown(line.check)
            values = _values(line, checks)
        except (ValueError, RecursionError, UsageError) as error:  # msgspec's error is a ValueError
            problems.append(f"{place}: {error}")
            continue
        first = places.setdefault((line.check, values), place)
        if first != place:
            problems.append(f"{place}: {first.rpartition(', ')[2]} accepts the same row; remove one of them.")
        accepted.setdefault(line.check, []).append(Accepted(place, values))
    if problems:
        more = f"\n... and {len(problems) - _SHOWN:,} more" if len(problems) > _SHOWN else ""
        raise UsageError("\n".join(problems[:_SHOWN]) + more)
    return accepted


def accept(path: Path, checks: Checks, line: Line) -> str:
    """Add a line to the file, while no other process does, and return it; the other lines stay as they are.

    Raises:
        UsageError: the file or the line is not right, or the row is accepted already.
        StorageError: the file cannot be written.
    """
    document = {name: value for name, value in msgspec.to_builtins(line).items() if value is not None}
    text = json.dumps(document, ensure_ascii=False)
    try:
        values = _values(msgspec.convert(document, Line), checks)
    except ValueError as error:
        raise UsageError(f"Nothing was written: {error}") from error
    with locked(path.parent, str(path.parent), wait=True):
        present = read_accepted(path, checks).get(line.check, ())
        for other in present:
            if other.values == values:
                raise UsageError(f"Nothing was written: {other.place} accepts this row already.")
        written = path.read_bytes() if path.exists() else b""
        end = b"" if not written or written.endswith(b"\n") else b"\n"
        with replacing(path) as partial:
            partial.write_bytes(written + end + text.encode() + b"\n")
    return text


def _values(line: Line, checks: Checks) -> tuple[str | None, ...]:
    """Return the values of the key of a line's check; empty for a check that is broken, whose key is not known."""
    check = checks.by_name.get(line.check)
    if check is None:
        return tuple(f"{name}={value}" for name, value in sorted(line.key.items()))
    if set(line.key) != set(check.key):
        columns = ", ".join(line.key) or "none"
        raise UsageError(f"expected a key of {check.name} with {', '.join(check.key)}; found {columns}")
    return tuple(None if value is None else str(value) for value in map(line.key.__getitem__, check.key))


_MEANINGS: Final = {
    "check": "Name of the check.",
    "key": "The columns of the check's key, with the values of the accepted row.",
    "why": "The reason to accept the row.",
    "who": "Who accepts it.",
}


def accepted_schema() -> dict[str, Any]:
    """Return the content of ``schemas/accepted.json``. A line may also name a check of the user."""
    schema = msgspec.json.schema(Line)["$defs"]["Line"]
    properties = {name: schema["properties"][name] | {"description": text} for name, text in _MEANINGS.items()}
    rules = [
        {
            "if": {"properties": {"check": {"const": check.name}}},
            "then": {"properties": {"key": {"required": list(check.key), "maxProperties": len(check.key)}}},
        }
        for check in load_checks().values()
    ]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"An accepted exception of a check: a line of {ACCEPTED_FILE}",
        "type": "object",
        "properties": properties,
        "required": ["check", "key", "why"],
        "additionalProperties": False,
        "allOf": rules,
    }
