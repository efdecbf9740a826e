"""Relations that notebooks show with pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from duckdb import DuckDBPyRelation

#: Returns HTML with the first rows of a relation and their pictures.
Thumbnails = Callable[["DuckDBPyRelation"], str]


class _ShownRelation:
    """A relation of DuckDB that also has HTML for notebooks.

    DuckDB's class cannot be derived from, so every attribute is looked up in the relation. A function of DuckDB that
    takes a relation needs ``.relation``.
    """

    def __init__(self, relation: DuckDBPyRelation, thumbnails: Thumbnails) -> None:
        self.relation = relation
        self._thumbnails = thumbnails

    def __getattr__(self, name: str) -> Any:
        if name in ("relation", "_thumbnails"):  # not set yet, as while it is copied
            raise AttributeError(name)
        return getattr(self.relation, name)

    def __repr__(self) -> str:
        return repr(self.relation)

    def __len__(self) -> int:
        return len(self.relation)

    def __getitem__(self, name: Any) -> Any:
        return self.relation[name]

    def _repr_html_(self) -> str:
        return self._thumbnails(self.relation)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, str]:
        """Return text and HTML by MIME type. IPython prefers this to ``_repr_html_``; DuckDB's has no pictures."""
        return {"text/plain": repr(self), "text/html": self._repr_html_()}


def shown_relation(relation: DuckDBPyRelation, thumbnails: Thumbnails) -> DuckDBPyRelation:
    """Return a relation that notebooks show with pictures."""
    return cast("DuckDBPyRelation", _ShownRelation(relation, thumbnails))
