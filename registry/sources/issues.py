"""What can be wrong with raw data, and how it is told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from registry.redaction import printable

#: How many issues a message shows; all of them are in the issues file.
SHOWN = 20
#: How many issues of one file are told, with how many more there are.
MOST_OF_FILE = 100
#: How many issues are told in all; beyond, each further file tells its first.
MOST_OF_ALL = 100_000
#: How many files whose names do not fit are told by name.
MOST_NAMES = 10_000


@dataclass(frozen=True, order=True, slots=True)
class Issue:
    """One thing that is wrong in one file.

    Attributes:
        file: path in the source from the split on, such as ``train/annos/000123.json``.
        place: where in the file, outermost first, such as ``("item2", "landmarks")``; empty for the whole file.
        text: what was expected and what was found.
    """

    file: str
    place: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return printable(f"{' > '.join((self.file, *self.place))}: {self.text}")


def summarise(issues: Iterable[Issue | str], kind: str = "issue") -> str:
    """Return a sorted text of the first issues and how many there are in all."""
    lines = [str(issue) for issue in sorted(issues, key=str)]
    plural = kind if len(lines) == 1 else f"{kind}s"
    text = [f"{len(lines)} {plural}:", *(f"  {line}" for line in lines[:SHOWN])]
    if len(lines) > SHOWN:
        text.append(f"  ... and {len(lines) - SHOWN} more")
    return "\n".join(text)
