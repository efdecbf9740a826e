"""One published version of a registry, opened: the same files and answers whatever is published later."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry.dataset.deepfashion2 import find_split
from registry.errors import UnknownNameError
from registry.snapshot.blocks import Blocks
from registry.snapshot.manifest import Manifest
from registry.storage.place import Place
from registry.store.connection import connect
from registry.store.settings import Limits

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of a registry.

    Attributes:
        place: folder or URL of the registry.
        manifest: names the files of this version.
        blocks: reads these files and compares them with the manifest.
        limits: of memory and time for queries.
    """

    place: Place
    manifest: Manifest
    blocks: Blocks
    limits: Limits

    def connect(self, *, spill: bool = False) -> DuckDBPyConnection:
        """Return a new connection whose tables and views are those of this version.

        Args:
            spill: whether DuckDB may write temporary files; not for a user's SQL.
        """
        return connect(self.place, self.manifest, self.blocks, self.limits, spill=spill)

    def check_split(self, split: str) -> str:
        """Return ``split`` if this version has it.

        Raises:
            UnknownNameError: it has not; the message lists its splits.
        """
        if find_split(split) not in self.manifest.splits:
            splits = ", ".join(self.manifest.splits) or "none yet"
            raise UnknownNameError(f"The split {split} is not in the registry {self.place}; there is: {splits}.")
        return split
