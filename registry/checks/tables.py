"""The protocol of registries and selections, as checks read them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from registry.store.on_workers import Versioned

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

    from registry.store.query import Params


class Tables(Versioned, Protocol):
    """A registry, or a selection of one."""

    def sql(self, query: str, params: Params | None = None) -> DuckDBPyRelation:
        """Return the rows of a SELECT."""
        ...
