"""The errors of the registry: one tree, each class with the exit code the command line ends with.

Messages say what is wrong, where, what was expected and what to do. Library code raises these and never
prints or exits; the command line turns them into one line on stderr at a single place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.redaction import printable, redact

if TYPE_CHECKING:
    from collections.abc import Sequence


class RegistryError(Exception):
    """Base of every error this package raises on purpose.

    Secrets are taken out of its message, and control characters are escaped; line breaks and tabs stay. A name from
    outside goes through :func:`registry.redaction.printable` before it enters a message: its line breaks must not.

    Attributes:
        exit_code: what the ``df2`` process returns when this error ends it.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(printable(redact(message), keep="\n\t"))


class UsageError(RegistryError):
    """An argument or parameter that cannot be used as given."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A split, category, table or column that does not exist."""


class NotFoundError(RegistryError):
    """A registry, image, identity or file that is not there."""


class QueryError(RegistryError):
    """SQL that DuckDB refused; the message is DuckDB's own, with the position."""


class SourceError(RegistryError):
    """A raw source that cannot be opened or read: missing, cut short, unreadable."""

    exit_code = 3


class UnreadableSourceError(SourceError):
    """A raw source whose place refuses or fails: a server's error, no permission, no answer."""

    exit_code = 4


class PasswordError(SourceError):
    """A protected archive and a password that is missing or wrong. Never carries the password."""


class AnnotationError(RegistryError):
    """Annotation files that break the format, under ``--on-error fail``."""

    exit_code = 3


class StorageError(RegistryError):
    """A place that cannot be written or read: full disk, no permission, gone."""

    exit_code = 4


class ConflictError(StorageError):
    """Somebody else changed a place while it was written; what they wrote is there, and nothing of this."""


class RegistryFormatError(RegistryError):
    """A registry whose manifest or files do not fit what this version reads."""


class MissingDependencyError(RegistryError):
    """An optional package is needed; the message carries the ``pip install`` line."""


def first_names(names: Sequence[str], most: int) -> str:
    """Return names as messages list them: the first ones, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
