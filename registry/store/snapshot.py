"""One published version of a registry, opened: the same files and answers whatever is published later."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import duckdb

from registry.dataset.deepfashion2 import find_split
from registry.errors import NotFoundError, QueryError, RegistryFormatError, UnknownNameError
from registry.snapshot.blocks import Blocks
from registry.snapshot.manifest import Manifest
from registry.storage.place import Place
from registry.store.connection import Keys, connect, duckdb_errors
from registry.store.own_tables import OwnTable
from registry.store.settings import Limits

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


def open_blocks(place: Place, cache: str | None = None) -> Blocks:
    """Return the reader of a registry's blocks; a cache folder is for remote registries only."""
    return Blocks(place, None if place.is_local else cache)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One version of a registry.

    Attributes:
        place: folder or URL of the registry.
        manifest: names the files of this version.
        blocks: reads these files and compares them with the manifest.
        limits: memory and time for queries.
        own_tables: tables of the user, by name.
    """

    place: Place
    manifest: Manifest
    blocks: Blocks
    limits: Limits
    own_tables: Mapping[str, OwnTable] = field(default_factory=dict)

    def connect(self, *, spill: bool = False, views: bool = True, keys: Keys | None = None) -> DuckDBPyConnection:
        """Return a new connection with the tables and views of this version, and those of the user.

        Args:
            spill: whether DuckDB may write temporary files; False for a user's SQL.
            views: whether to create the views, which takes time; False for queries that read tables alone.
            keys: the rows that the tables ``images`` and ``items`` have; all without it.
        """
        own_tables = self.own_tables.values()
        return connect(
            *(self.place, self.manifest, self.blocks, self.limits),
            spill=spill,
            views=views,
            keys=keys,
            own_tables=own_tables,
        )

    def check_split(self, split: str) -> str:
        """Return ``split`` if this version has it.

        Raises:
            UnknownNameError: there is no such split; the message lists those of this version.
        """
        if find_split(split) not in self.manifest.splits:
            splits = ", ".join(self.manifest.splits) or "none yet"
            raise UnknownNameError(f"The split {split} is not in the registry {self.place}; there is: {splits}.")
        return split

    @contextmanager
    def read_errors(self) -> Iterator[None]:
        """Turn DuckDB's errors inside the block into errors of this package that name the registry."""
        try:
            with duckdb_errors():
                yield
        except NotFoundError as error:
            raise RegistryFormatError(
                f"A file of {self.place} cannot be read: {error}\nIf the registry was replaced meanwhile, start again."
            ) from error
        except QueryError as error:
            if not isinstance(error.__cause__, duckdb.IOException):
                raise
            raise RegistryFormatError(f"A file of {self.place} cannot be read: {error}") from error
