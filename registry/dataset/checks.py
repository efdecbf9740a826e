"""The checks of ``schemas/checks``: SQL that returns the odd rows of a registry."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

from registry.dataset.views import schemas_folder
from registry.errors import UsageError
from registry.parsing.text import ForeignEncodingError, decode_text

#: How bad a row of a check is, the worst first.
SEVERITIES: Final = ("error", "warning", "note")
#: Lines of the header that every check has.
_NOTES: Final = ("key", "severity", "source")
#: Columns of items that may divide the rows of a check.
_SLICES: Final = ("image_id", "pair_id")
_NAME: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


@dataclass(frozen=True, slots=True)
class Check:
    """A check: its SQL and the notes in its header comment.

    Attributes:
        name: file name without suffix.
        sql: one SELECT that returns the odd rows, header included; no row means that nothing is odd.
        meaning: "One row per ...".
        key: columns that identify a row; they come first.
        severity: one of :data:`SEVERITIES`.
        source: tables and rules that the rows come from.
        needs: tables without which the check cannot run.
        slices: column of the key by whose values the rows of a large registry are counted in slices; "" for at once.
        column_meanings: column -> meaning, where its name does not say it.
    """

    name: str
    sql: str
    meaning: str
    key: tuple[str, ...]
    severity: str
    source: str
    needs: tuple[str, ...] = ()
    slices: str = ""
    column_meanings: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def unit(self) -> tuple[str, ...]:
        """The columns by which ``--exclude-check`` leaves out rows: those of an item, an image, an identity or a group.

        A check of two items or photos leaves out the first of them.
        """
        return next((unit for unit in _UNITS if set(unit) <= set(self.key)), ())


#: From the smallest unit on.
_UNITS: Final = (
    ("split", "image_id", "item_no"),
    ("split", "image_id"),
    ("split", "pair_id", "style"),
    ("split", "pair_id"),
)

#: Table -> how to fill it.
_REMEDIES: Final = {"photos": "'df2 photos describe' fills it"}


def lacks(table: str, *, is_whole: bool = True) -> str:
    """Return that a table that a check needs has no row, or none of the subset, and how to fill it."""
    empty = f"the table {table} is empty" if is_whole else f"the table {table} has no row of the subset"
    return empty + (f"; {_REMEDIES[table]}" if table in _REMEDIES else "")


def parse_check(name: str, sql: str) -> Check:
    """Return the check in an SQL text with a header of ``-- One row per``, ``-- key:``, ``-- severity:`` lines.

    Raises:
        UsageError: the name or the header is not that of a check; the message lists all problems.
    """
    header = [line[3:].strip() for line in sql.splitlines() if line.startswith("-- ")]
    meaning = header[0] if header else ""
    notes = dict(line.split(": ", 1) for line in header[1:] if ": " in line)
    problems = []
    if not _NAME.fullmatch(name):
        problems.append("expected a name of lower-case letters, digits and hyphens, such as tiny-box")
    if not meaning.startswith("One row per "):
        problems.append("expected a first line '-- One row per ...' that says what is odd")
    problems += [f"expected a line '-- {note}: ...'" for note in _NOTES if not notes.get(note)]
    if notes.get("severity", "error") not in SEVERITIES:
        problems.append(f"severity: expected {', '.join(SEVERITIES)}; found {notes['severity']}")
    key, needs = (_names(notes.pop(note, "")) for note in ("key", "needs"))
    slices = notes.pop("slices", "")
    if slices and slices not in set(key) & set(_SLICES):
        problems.append(f"slices: expected a column of the key, {' or '.join(_SLICES)}; found {slices}")
    if problems:
        raise UsageError(f"The check {name}: {'; '.join(problems)}.")
    severity, source = notes.pop("severity"), notes.pop("source")
    return Check(name, sql, meaning, key, severity, source, needs, slices, notes)


def _names(text: str) -> tuple[str, ...]:
    """Return the names in a text, each once; commas stand between them."""
    return tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def read_check(path: Path) -> Check:
    """Return the check in an SQL file.

    Raises:
        UsageError: the file cannot be read, or as for :func:`parse_check`; the message names the file.
    """
    try:
        return parse_check(path.stem, decode_text(path.read_bytes()))
    except (OSError, UnicodeDecodeError, ForeignEncodingError, UsageError) as error:
        raise UsageError(f"{path}: {error}") from error


@cache
def load_checks() -> dict[str, Check]:
    """Return the checks of this package by name: the worst severity first, then sorted by name."""
    files = sorted((schemas_folder() / "checks").glob("*.sql"))
    checks = [parse_check(file.stem, file.read_text(encoding="utf-8")) for file in files]
    return {check.name: check for check in sorted(checks, key=lambda check: SEVERITIES.index(check.severity))}
