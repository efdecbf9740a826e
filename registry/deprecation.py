"""Names that still work and that a later version removes: docs/reference/compatibility.md."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Deprecated:
    """A name that a later version removes.

    Attributes:
        name: as users write it.
        instead: the name that replaces it.
        removal: version that removes it.
    """

    name: str
    instead: str
    removal: str

    @property
    def text(self) -> str:
        """The warning: the command line prints it, Python warns with it."""
        return f"{self.name} is deprecated and version {self.removal} removes it: use {self.instead}."

    def warn(self, stacklevel: int = 1) -> None:
        """Warn the caller of a Python name; Python shows a ``FutureWarning`` to everybody, not to developers alone.

        Args:
            stacklevel: 1 names the line that calls the deprecated function, which calls this method.
        """
        warnings.warn(self.text, FutureWarning, stacklevel=stacklevel + 2)


#: The option of ``df2 ingest`` that version 0.1.0 had for ``--scheduler``.
DASK: Final = Deprecated("--dask", "--scheduler", "1.0")
