"""Records of a file that cannot be used: counted by kind, each kind with its first places."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from registry.errors import AnnotationError
from registry.redaction import printable
from registry.wording import counted

#: Places shown of each kind.
_MAX_PLACES: Final = 3


class Problems:
    """The problems of a file's records, gathered while it is read.

    Args:
        file: name of the file, as the user gave it.
    """

    def __init__(self, file: str) -> None:
        self.file = file
        self._counts: dict[tuple[str, str], int] = {}
        self._places: dict[tuple[str, str], list[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, kind: str, expected: str, places: Iterable[str], count: int = 1) -> None:
        """Note records with a problem.

        Args:
            kind: of the problem, a phrase in the plural whose first noun is counted: ``scores that are not numbers``.
            expected: the right value, and the remedy.
            places: of the first of them: ``record 12: score nan``; not all need be given.
            count: how many they are.
        """
        key = kind, expected
        self._counts[key] = self._counts.get(key, 0) + count
        shown = self._places.setdefault(key, [])
        for place in places:
            if len(shown) == _MAX_PLACES:
                break
            shown.append(printable(place))

    @property
    def total(self) -> int:
        """Records with a problem, each counted once for each of its problems."""
        return sum(self._counts.values())

    def take(self, other: Problems) -> None:
        """Take over the problems of other records of the file."""
        for (kind, expected), count in other._counts.items():
            self.add(kind, expected, other._places[kind, expected], count)

    def lines(self) -> list[str]:
        """Return a line for each kind: the count, what was expected, the first places."""
        return [
            f"{counted(number, kind)}; expected {expected} ({'; '.join(self._places[kind, expected])}"
            f"{'; ...' if number > len(self._places[kind, expected]) else ''})"
            for (kind, expected), number in self._counts.items()
        ]

    def check(self, num_skipped: int | None, remedy: str = "--skip-bad leaves them out.") -> list[str]:
        """Return sentences on the skipped records: their number, and each kind; or raise an error with all problems.

        Args:
            num_skipped: records that are left out; None where bad records are not to be skipped.
            remedy: how to go on in spite of them, the last line of the error.

        Raises:
            AnnotationError: there are problems, and they are not to be skipped.
        """
        if not self:
            return []
        if num_skipped is None:
            first = f"{self.file} has records that cannot be evaluated:"
            raise AnnotationError("\n".join([first, *(f"  {line}" for line in self.lines()), remedy]))
        return [f"{self.file}: {counted(num_skipped, 'records')} left out", *self.lines()]
