"""An open registry: SQL and look-ups over its tables and views."""

from __future__ import annotations

import logging
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import duckdb

from registry.dataset.deepfashion2 import find_category, unknown_name
from registry.dataset.tables import FIELDS, ITEM_COLUMNS, TABLES
from registry.dataset.views import load_views
from registry.errors import NotFoundError, QueryError, RegistryFormatError, StorageError
from registry.snapshot.blocks import Blocks
from registry.snapshot.manifest import MANIFEST_NAME, Manifest, read_manifest
from registry.storage.filesystems import StorageOptions
from registry.storage.place import Place
from registry.store.connection import duckdb_errors, own_error
from registry.store.html import html_table
from registry.store.settings import Limits
from registry.store.snapshot import Snapshot
from registry.subset.options import Subset
from registry.wording import plural

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from registry.store.changes import Diff
    from registry.store.selection import Selection
    from registry.subset.resplit import Resplit

_LOG = logging.getLogger(__name__)

Params = Mapping[str, Any] | Sequence[Any]
_Answer = TypeVar("_Answer")

#: DuckDB's own limit for expressions.
_DEEPEST = 1_000
_BRACKET = re.compile(r"[(\[{)\]}]")
#: A text in quotes, in which brackets nest nothing.
_TEXT = re.compile(r"'[^']*'")
_EXPLAIN = re.compile(r"\s*EXPLAIN\b\s*(ANALYZE\b|\([^()]*\))?", re.IGNORECASE)
#: Columns of items that say something of the image, which :meth:`Registry.image` gives once.
_OF_IMAGE = {"split", "image_id", "source", "pair_id"}


class Registry:
    """A registry opened for reading.

    Every method makes its own cursor, so one object serves many threads. When a local registry was replaced since
    the last call (a new ingestion), the next call reads the new one; a relation made before and not fetched yet may
    then fail, because its files are gone, but never mixes old and new. A remote one is read as it was when opened.

    Args:
        url: folder or fsspec URL of the registry.
        storage_options: passed to fsspec for a remote one.
        cache: folder that keeps what is read of a remote one.
        memory: what DuckDB may use at most, such as ``"4GB"``; half of the machine's memory without it.
        timeout: seconds that a query may run; as long as it takes without it.

    Raises:
        NotFoundError: there is no registry.
        RegistryFormatError: it lacks a file, or is of a later version.
        UsageError: a limit is not one.
    """

    def __init__(
        self,
        url: str,
        storage_options: StorageOptions | None = None,
        *,
        cache: str | None = None,
        memory: str | None = None,
        timeout: float | None = None,
    ) -> None:
        self.limits = Limits.of(memory, timeout)
        self.place = Place(url, storage_options)
        self._blocks = Blocks(self.place, None if self.place.is_local else cache)
        self._lock = threading.Lock()
        self._open()

    @property
    def manifest(self) -> Manifest:
        """The manifest that was read last."""
        return self._snapshot.manifest

    def snapshot(self) -> Snapshot:
        """Return the version that is published now; it stays the same when a later one is published."""
        with self._lock:
            self._refresh()
            return self._snapshot

    def __repr__(self) -> str:
        return f"Registry({str(self.place)!r}, splits={self.manifest.splits})"

    def _repr_html_(self) -> str:
        return html_table(str(self.place), self._records("FROM split_counts"))

    def sql(self, query: str, params: Params | None = None) -> DuckDBPyRelation:
        """Return the rows of one SELECT as a lazy DuckDB relation.

        Args:
            query: one SELECT (or DESCRIBE, SHOW, SUMMARIZE, EXPLAIN) over the tables and views.
            params: values for ``$name`` (a mapping) or ``?`` (a sequence).

        Returns:
            A relation: ``.arrow()``, ``.df()``, ``.pl()``, ``.fetchall()``. These run the query, so a limit that it
            reaches and a damaged file are errors of theirs: ``duckdb.InterruptException``,
            ``duckdb.OutOfMemoryException``, other ``duckdb.Error``.

        Raises:
            QueryError: DuckDB refuses the query, or it is not one that reads.
        """
        return self._again(lambda: self._relation(query, params))

    def _relation(self, query: str, params: Params | None) -> DuckDBPyRelation:
        _check_nesting(query)
        cursor = self._cursor()
        try:
            if not _only_reads(cursor, query):
                raise QueryError("Expected one statement that reads (SELECT, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN).")
            relation = cursor.sql(query, params=params)
        except duckdb.CatalogException as error:
            names = f"\n\nThere is: {', '.join([*TABLES, *load_views()])}."
            raise QueryError(f"{error}{names if 'Table with name' in str(error) else ''}") from error
        except duckdb.Error as error:
            raise own_error(error) from error
        assert relation is not None  # every statement that reads has a result
        return relation

    def pairs(
        self,
        split: str | None = None,
        pair_id: int | None = None,
        style: int | None = None,
        category: str | int | Sequence[str | int] = (),
        level: Literal["instance", "image"] = "instance",
        limit: int | None = None,
    ) -> DuckDBPyRelation:
        """Return positive pairs, sorted.

        Args:
            split: of this split only.
            pair_id: of this group only.
            style: of this style only.
            category: names or ids; pairs of which either item has one of them.
            level: ``instance`` for pairs of items (view instance_pairs), ``image`` for pairs of images with
                the number of item pairs between them (view image_pairs).
            limit: at most so many rows.

        Raises:
            UnknownNameError: there is no such split or category.
        """
        wanted = [category] if isinstance(category, str | int) else category
        values = {
            "split": self.check_split(split) if split is not None else None,
            "pair_id": pair_id,
            "style": style,
            "categories": [find_category(name).id for name in wanted] or None,
            "limit": limit,
        }
        conditions = {
            "split": "split = $split",
            "pair_id": "pair_id = $pair_id",
            "style": "style = $style",
            "categories": "(list_contains($categories, user_category_id) OR "
            "list_contains($categories, shop_category_id))",
        }
        params = {name: value for name, value in values.items() if value is not None}
        where = " AND ".join(sql for name, sql in conditions.items() if name in params) or "true"
        view = "instance_pairs"
        if pair_id is not None:
            # The view reads the items twice. Those of one pair_id are few, so they are read once and kept.
            of_items = " AND ".join(conditions[name] for name in ("split", "pair_id", "style") if name in params)
            view = f"(WITH items AS MATERIALIZED (FROM main.items WHERE {of_items}) {load_views()[view].sql})"
        if level == "image":
            columns = "split, pair_id, user_image_id, shop_image_id"
            query = f"SELECT {columns}, count(*) AS num_instance_pairs FROM {view} WHERE {where}"
            query += f" GROUP BY {columns} ORDER BY {columns}"
        else:
            query = f"SELECT * FROM {view} WHERE {where}"
            query += " ORDER BY split, pair_id, style, user_image_id, user_item_no, shop_image_id, shop_item_no"
        return self.sql(query + (" LIMIT $limit" if limit is not None else ""), params)

    def style(self, split: str, pair_id: int, style: int) -> DuckDBPyRelation:
        """Return every item of one identity, consumer items first.

        Raises:
            UnknownNameError: there is no such split.
            NotFoundError: no item has this pair_id and style; the message lists what there is.
        """
        params = {"split": self.check_split(split), "pair_id": pair_id, "style": style}
        where = "split = $split AND pair_id = $pair_id"
        found = self._rows(f"SELECT DISTINCT style FROM items WHERE {where} ORDER BY style", params)
        if (style,) not in found:
            there = (
                f"the styles there are {', '.join(str(row[0]) for row in found)}"
                if found
                else "no item of the split has this pair_id"
            )
            raise NotFoundError(f"{split} has no item of pair_id {pair_id} and style {style}; {there}.")
        return self.sql(
            f"SELECT {', '.join(ITEM_COLUMNS)} FROM items WHERE {where} AND style = $style "
            "ORDER BY source DESC, image_id, item_no",
            params,
        )

    def image(self, split: str, image_id: int) -> DuckDBPyRelation:
        """Return one image: a row of the table images with its items as a list of structs, in file order.

        Raises:
            UnknownNameError: there is no such split.
            NotFoundError: there is no such image.
        """
        params = {"split": self.check_split(split), "image_id": image_id}
        where = "split = $split AND image_id = $image_id"
        if not self._rows(f"SELECT 1 FROM images WHERE {where}", params):
            bounds = self._rows(
                "SELECT min(image_id), max(image_id) FROM images WHERE split = $split", {"split": split}
            )
            low, high = bounds[0]
            there = f"its images are {low} to {high}" if low is not None else "it has no image at all"
            raise NotFoundError(f"{split} has no image {image_id}; {there}.")
        own = [name for name in ITEM_COLUMNS if name not in _OF_IMAGE]
        members = ", ".join(f"{name} := {name}" for name in own)
        return self.sql(
            f"SELECT *, (SELECT coalesce(list(struct_pack({members}) ORDER BY item_order), []) FROM items "
            f"WHERE {where}) AS items FROM images WHERE {where}",
            params,
        )

    def select(self, subset: Subset | None = None, *, resplit: Resplit | None = None, **options: Any) -> Selection:
        """Return what a subset holds: ``.summary()`` counts it, ``.items(columns)`` are its rows.

        Args:
            subset: a subset; or its options by name (``category="skirt", occlusion=1``), as for ``df2 subset``.
            resplit: divides it anew.
            options: see :meth:`registry.subset.options.Subset.of`.

        Raises:
            UsageError: an option or value that does not exist.
        """
        from registry.store.selection import Selection

        return Selection(self.snapshot(), subset or Subset.of(**options), resplit)

    def diff(self, other: Registry, subset: Subset | None = None, **options: Any) -> Diff:
        """Return what is different in another registry: ``.summary`` counts it, ``.items()`` are the items.

        Args:
            other: the newer one.
            subset: of both; or its options by name, as for :meth:`select`.
            options: see :meth:`registry.subset.options.Subset.of`.

        Raises:
            UsageError: an option or value that does not exist.
        """
        from registry.store.changes import Diff

        return Diff(self.snapshot(), other.snapshot(), subset or Subset.of(**options))

    def stats(self) -> dict[str, Any]:
        """Return the counts of the views split_counts, category_counts and attribute_counts, nested by split."""
        stats: dict[str, Any] = {}
        for row in self._records("SELECT * FROM split_counts"):
            split = row.pop("split")
            stats[split] = {**row, "categories": {}, "attributes": {}}
        for row in self._records("SELECT split, category_name, num_items FROM category_counts"):
            stats[row["split"]]["categories"][row["category_name"]] = row["num_items"]
        for row in self._records("SELECT split, attribute, meaning, num_items FROM attribute_counts"):
            values = stats[row["split"]]["attributes"].setdefault(row["attribute"], {})
            values[row["meaning"]] = row["num_items"]
        return stats

    def tables(self, name: str | None = None) -> list[dict[str, str]]:
        """Return the columns of all tables and views, or of one.

        Returns:
            One entry a column: table, kind (table or view), column, type, unit, meaning.

        Raises:
            UnknownNameError: there is no table or view of this name.
        """
        names = [*TABLES, *load_views()]
        if name is not None and name not in names:
            raise unknown_name("table or view", name, names)
        views = load_views()
        rows = []
        for table in names if name is None else [name]:
            for column, kind, *_ in self._rows(f"DESCRIBE {table}"):
                meaning = views[table].column_meaning(column) if table in views else FIELDS[column].meaning
                rows.append(
                    {
                        "table": table,
                        "kind": "view" if table in views else "table",
                        "column": column,
                        "type": kind,
                        "unit": FIELDS[column].unit,
                        "meaning": meaning,
                    }
                )
        return rows

    def _rows(self, query: str, params: Params | None = None) -> list[tuple[Any, ...]]:
        used = params
        if isinstance(params, Mapping):
            used = {name: value for name, value in params.items() if f"${name}" in query}

        def ask() -> list[tuple[Any, ...]]:
            with duckdb_errors():
                return self.sql(query, used).fetchall()

        return self._again(ask)

    def _records(self, query: str) -> list[dict[str, Any]]:
        columns = self.sql(query).columns
        return [dict(zip(columns, row, strict=True)) for row in self._rows(query)]

    def _again(self, ask: Callable[[], _Answer]) -> _Answer:
        """Return what ``ask`` returns; it is asked again if it fails and the registry was replaced meanwhile."""
        while True:
            manifest, stamp = self.manifest, self._read_stamp()
            try:
                return ask()
            except (QueryError, NotFoundError, StorageError):
                if not self._is_replaced(manifest, stamp):
                    raise
                with self._lock:
                    self._open()

    def check_split(self, split: str) -> str:
        """Return ``split`` if the registry has it.

        Raises:
            UnknownNameError: it has not; the message lists its splits.
        """
        return self._snapshot.check_split(split)

    def _cursor(self) -> DuckDBPyConnection:
        """Return a cursor on the registry as it is now."""
        with self._lock:
            self._refresh()
            return self._connection.cursor()

    def _refresh(self) -> None:
        """Open the version that is published now, if it is another; the caller holds the lock."""
        if self._read_stamp() != self._stamp:
            self._open()

    def _open(self) -> None:
        """Read the manifest and connect to what it names; again if it was exchanged in between."""
        while True:
            stamp = self._read_stamp()
            manifest = read_manifest(self.place)
            try:
                if self.place.is_local:
                    self._blocks.check_sizes(manifest.files)
                snapshot = Snapshot(self.place, manifest, self._blocks, self.limits)
                self._connection = snapshot.connect()
            except (duckdb.Error, NotFoundError, StorageError) as error:
                if self._is_replaced(manifest, stamp):
                    continue
                below = own_error(error) if isinstance(error, duckdb.Error) else error
                if isinstance(below, StorageError):
                    raise below from error
                bring_back = "with 'dvc checkout' or 'dvc pull'" if self.place.is_local else "with 'df2 sync'"
                raise RegistryFormatError(
                    f"{self.place} lacks a file that its manifest names, or it cannot be read: {below}\n"
                    f"Bring it back {bring_back}, or do without: df2 manifest {self.place}"
                ) from error
            self._snapshot, self._stamp = snapshot, stamp
            _LOG.info("Opened %s: %s", self.place, plural(len(manifest.files), "file"))
            return

    def _is_replaced(self, manifest: Manifest, stamp: tuple[int, int] | None) -> bool:
        """Return whether there is another registry by now than the one of this manifest and stamp."""
        return self._read_stamp() != stamp if self.place.is_local else read_manifest(self.place) != manifest

    def _read_stamp(self) -> tuple[int, int] | None:
        """Return what changes when a local manifest is exchanged; a remote one is read once."""
        if self.place.path is None:
            return None
        try:
            found = os.stat(self.place.path / MANIFEST_NAME)
        except OSError:  # what is wrong is said where it is read
            return None
        return found.st_ino, found.st_mtime_ns


def _check_nesting(query: str) -> None:
    """Refuse brackets that are nested more deeply than DuckDB's expressions may be.

    Where some of them are not closed, its parser takes quadratic time, in which no signal and no limit ends it.

    Raises:
        QueryError: they are.
    """
    depth = 0
    for bracket in _BRACKET.findall(_TEXT.sub("", query)):
        depth += 1 if bracket in "([{" else -1
        if depth > _DEEPEST:
            raise QueryError(f"The query nests brackets too deeply: expected at most {_DEEPEST:,} levels.")


def _only_reads(connection: DuckDBPyConnection, query: str) -> bool:
    """Return whether a text is one statement that reads; EXPLAIN ANALYZE runs what it explains, so that counts."""
    statements = connection.extract_statements(query)
    if len(statements) != 1:
        return False
    kind = statements[0].type
    is_pivot = kind == duckdb.StatementType.MULTI  # DuckDB lists the values of a PIVOT by a statement of its own
    explained = _EXPLAIN.match(query) if is_pivot or kind == duckdb.StatementType.EXPLAIN else None
    if explained:
        return _only_reads(connection, query[explained.end() :])
    return _is_subquery(connection, statements[0].query) if is_pivot else bool(kind == duckdb.StatementType.SELECT)


def _is_subquery(connection: DuckDBPyConnection, statement: str) -> bool:
    """Return whether a statement can stand in FROM, as queries can and statements that change anything cannot."""
    try:
        return len(connection.extract_statements(f"FROM ({statement.strip().rstrip(';')}\n)")) == 1
    except duckdb.Error:
        return False
