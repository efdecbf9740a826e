"""The errors of this package, with the exit codes of the ``df2`` command.

A message names the problem, its place, the expected value and the remedy. Library code raises these errors and never
prints or exits; the command line prints the message on stderr.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.redaction import printable, redact

if TYPE_CHECKING:
    from collections.abc import Sequence


class RegistryError(Exception):
    """Base class of the errors of this package.

    Secrets in the message are hidden and control characters escaped, except line breaks and tabs. Callers escape names
    from outside with :func:`registry.redaction.printable`, so that their line breaks do not enter a message.

    Attributes:
        exit_code: of the ``df2`` process.
    """

    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(printable(redact(message), keep="\n\t"))


class UsageError(RegistryError):
    """An argument or parameter is invalid."""

    exit_code = 2


class UnknownNameError(UsageError):
    """A split, category, table or column does not exist."""


class NotFoundError(RegistryError):
    """A registry, image, identity or file does not exist."""


class QueryError(RegistryError):
    """DuckDB refused a query; the message is DuckDB's, with the position in the SQL."""


class SourceError(RegistryError):
    """A raw source cannot be opened or read: missing, truncated or damaged."""

    exit_code = 3


class UnreadableSourceError(SourceError):
    """The place of a raw source fails: a server error, no permission, no answer."""

    exit_code = 4


class PasswordError(SourceError):
    """The password of a protected archive is missing or wrong. The message never contains the password."""


class AnnotationError(RegistryError):
    """Annotation files are invalid, with ``--on-error fail``."""

    exit_code = 3


class StorageError(RegistryError):
    """A place cannot be read or written: disk full, no permission, removed."""

    exit_code = 4


class ConflictError(StorageError):
    """Another writer changed a place meanwhile; their version stands."""


class RegistryFormatError(RegistryError):
    """The manifest or a file of a registry has a format that this version cannot read."""


class MissingDependencyError(RegistryError):
    """An optional package is not installed; the message contains the ``pip install`` command."""


def first_names(names: Sequence[str], most: int) -> str:
    """Return the first ``most`` names, comma-separated, and the number of the others."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
