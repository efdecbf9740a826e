"""Issues: problems in raw data, each with its file and its place in the file."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from registry.redaction import printable
from registry.wording import plural

#: Issues shown in a message; the issues file holds all of them.
MAX_SHOWN = 20
#: Issues reported for a file; the rest are counted.
MAX_ISSUES_PER_FILE = 100
#: Issues reported in all; after these, each further file reports only its first.
MAX_ISSUES = 100_000
#: Files reported because of their names; the rest are counted.
MAX_NAME_ISSUES = 10_000


@dataclass(frozen=True, order=True, slots=True)
class Issue:
    """A problem in a raw file.

    Attributes:
        file: path in the source, beginning with the split: ``train/annos/000123.json``.
        place: keys that lead to the problem, outermost first: ``("item2", "landmarks")``; empty for the whole file.
        text: the expected and the actual content.
    """

    file: str
    place: tuple[str, ...]
    text: str

    def __str__(self) -> str:
        return printable(f"{' > '.join((self.file, *self.place))}: {self.text}")


def summarise(issues: Iterable[Issue | str], kind: str = "issue") -> str:
    """Return a text with the number of issues and the first :data:`MAX_SHOWN` of them, sorted."""
    lines = [str(issue) for issue in sorted(issues, key=str)]
    text = [f"{plural(len(lines), kind)}:", *(f"  {line}" for line in lines[:MAX_SHOWN])]
    if len(lines) > MAX_SHOWN:
        text.append(f"  ... and {len(lines) - MAX_SHOWN} more")
    return "\n".join(text)
