"""An open registry: SQL and look-ups over its tables and views."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

import duckdb

from registry.dataset.deepfashion2 import find_category, unknown_name
from registry.dataset.tables import FIELDS, ITEM_COLUMNS, TABLES
from registry.dataset.views import load_views
from registry.errors import NotFoundError, QueryError, RegistryFormatError, StorageError
from registry.snapshot.manifest import MANIFEST_NAME, Manifest, read_manifest
from registry.storage.filesystems import StorageOptions
from registry.storage.place import Place
from registry.store.connection import duckdb_errors, own_error
from registry.store.html import html_table
from registry.store.own_tables import load_tables, notices
from registry.store.query import Params, read_query, records
from registry.store.settings import Limits
from registry.store.shown import Thumbnails, shown_relation
from registry.store.snapshot import Snapshot, open_blocks
from registry.store.sql import quote
from registry.store.statistics import nested_counts, statistic
from registry.store.unknown import PAIRING, unknown_texts
from registry.store.views import create_views, pairs_query
from registry.subset.options import Subset
from registry.wording import plural

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from registry.store.changes import Diff
    from registry.store.selection import Selection
    from registry.subset.resplit import Resplit

_LOG = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

#: Columns that images and items share; :meth:`Registry.image` gives them once.
_IMAGE_COLUMNS = {"split", "image_id", "source", "pair_id"}


class Registry:
    """A registry opened for reading.

    Every method makes its own cursor, so an object serves many threads. After a local registry was replaced (by a new
    ingestion), the next call reads the new version; a relation of the old version that was not fetched yet may fail,
    because its files are gone, but never mixes versions. A remote registry is read in the version that was opened.

    Args:
        url: folder or fsspec URL of the registry.
        storage_options: passed to fsspec for a remote registry.
        cache: folder that caches blocks of a remote registry.
        memory: DuckDB's memory limit, such as ``"4GB"``; half of the machine's memory without it.
        timeout: seconds that a query may run; no limit without it.
        tables: tables of the user beside those of the registry: name -> path or URL of a file (Parquet, Arrow, CSV,
            JSON lines), Arrow table, frame of pandas or polars. They are read once, when the registry is opened.

    Raises:
        NotFoundError: there is no registry, or no file of a table.
        RegistryFormatError: a file is missing, or the registry is of a later version.
        UsageError: a limit or a table cannot be read.

    Attributes:
        thumbnails: shows rows with pictures in notebooks; set by :func:`registry.open` with ``photos``.
    """

    def __init__(
        self,
        url: str,
        storage_options: StorageOptions | None = None,
        *,
        cache: str | None = None,
        memory: str | None = None,
        timeout: float | None = None,
        tables: Mapping[str, Any] | None = None,
    ) -> None:
        self.thumbnails: Thumbnails | None = None
        self.limits = Limits.of(memory, timeout)
        self._storage_options, self._cache = storage_options, cache
        self.own_tables = load_tables(tables or {}, self.limits.memory, storage_options)
        self.place = Place(url, storage_options)
        self._blocks = open_blocks(self.place, cache)
        self._lock = threading.Lock()
        self._has_views = False
        self._open()

    def opening(self) -> dict[str, Any]:
        """Return the arguments that open the same registry in another process; its limits are left to that."""
        return {
            # The other process may run in another folder.
            "url": self.place.absolute_url,
            "cache": None if self._cache is None else os.path.abspath(os.path.expanduser(self._cache)),
            "storage_options": self._storage_options,
            "tables": self.own_tables,
        }

    def __reduce__(self) -> tuple[Any, ...]:
        """Open the registry again where it is unpickled, as in a worker process, with its limits and thumbnails."""
        return _reopen, (self.opening(), self.limits), {"thumbnails": self.thumbnails}

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
            A relation with ``.arrow()``, ``.df()``, ``.pl()``, ``.fetchall()``. These run the query and raise DuckDB's
            errors: ``duckdb.InterruptException`` for the time limit, ``duckdb.OutOfMemoryException``, other
            ``duckdb.Error`` for a damaged file.

        Raises:
            QueryError: DuckDB refuses the query, or it does more than read.
        """
        return self._relation(query, params, views=True)

    def _relation(self, query: str, params: Params | None, *, views: bool) -> DuckDBPyRelation:
        """Return the rows of a query as :meth:`sql` does; without ``views`` it can read tables alone."""
        relation = self._again(lambda: read_query(self._cursor(views=views), query, params))
        return relation if self.thumbnails is None else shown_relation(relation, self.thumbnails)

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
        params = {name: value for name, value in values.items() if value is not None}
        # The query for a pair_id reads items, with the text of the view in it.
        return self._relation(pairs_query(params, of_images=level == "image"), params, views=pair_id is None)

    def unknown_pairing(self, split: str | None = None) -> list[str]:
        """Return a sentence for each split with items that no pair can have: source, pair_id or style is not known.

        Args:
            split: looks into this split only.
        """
        rows = "items" if split is None else f"(FROM items WHERE split = {quote(self.check_split(split))})"

        def read() -> list[str]:
            with duckdb_errors():
                return unknown_texts(self._cursor(), PAIRING, rows)

        return self._again(read)

    def style(self, split: str, pair_id: int, style: int) -> DuckDBPyRelation:
        """Return all items of an identity, consumer items first.

        Raises:
            UnknownNameError: there is no such split.
            NotFoundError: no item has this pair_id and style; the message lists what there is.
        """

        def find() -> DuckDBPyRelation:
            params = {"split": self.check_split(split), "pair_id": pair_id}
            condition = "split = $split AND pair_id = $pair_id"
            query = f"SELECT DISTINCT style, category_id FROM items WHERE {condition} ORDER BY ALL"
            rows = self._rows(query, params, views=False)
            styles = list(dict.fromkeys(number for number, _ in rows))
            if style not in styles:
                listed = ", ".join(map(str, styles))
                hint = f"the styles there are {listed}" if styles else "no item of the split has this pair_id"
                raise NotFoundError(f"{split} has no item of pair_id {pair_id} and style {style}; {hint}.")
            return self._relation(
                f"SELECT {', '.join(ITEM_COLUMNS)} FROM items WHERE {condition} AND style = $style "
                f"AND {_in_categories(category_id for number, category_id in rows if number == style)} "
                "ORDER BY source DESC, image_id, item_no",
                {**params, "style": style},
                views=False,
            )

        return self._of_one_version(find)

    def image(self, split: str, image_id: int) -> DuckDBPyRelation:
        """Return an image: its row of the table images, with its items as a list of structs in file order.

        Raises:
            UnknownNameError: there is no such split.
            NotFoundError: there is no such image.
        """

        def find() -> DuckDBPyRelation:
            params = {"split": self.check_split(split), "image_id": image_id}
            condition = "split = $split AND image_id = $image_id"
            # The items are few, and the columns of their files many: only files that have some of them are read whole.
            of_items = f"SELECT DISTINCT category_id FROM items WHERE {condition} ORDER BY ALL"
            categories = self._rows(of_items, params, views=False)
            if not categories and not self._rows(f"SELECT 1 FROM images WHERE {condition}", params, views=False):
                range_query = "SELECT min(image_id), max(image_id) FROM images WHERE split = $split"
                ((low, high),) = self._rows(range_query, {"split": split}, views=False)
                hint = f"its images are {low} to {high}" if low is not None else "it has no image at all"
                raise NotFoundError(f"{split} has no image {image_id}; {hint}.")
            members = ", ".join(f"{name} := {name}" for name in ITEM_COLUMNS if name not in _IMAGE_COLUMNS)
            return self._relation(
                f"SELECT *, (SELECT coalesce(list(struct_pack({members}) ORDER BY item_order), []) FROM items "
                f"WHERE {condition} AND {_in_categories(number for (number,) in categories)}) AS items "
                f"FROM images WHERE {condition}",
                params,
                views=False,
            )

        return self._of_one_version(find)

    def table_notices(self) -> list[str]:
        """Return plain sentences on keys of the user's tables that fit no row or stand twice."""
        if not self.own_tables:
            return []
        with duckdb_errors():
            return notices(self._cursor(), self.own_tables.values())

    def select(
        self,
        subset: Subset | None = None,
        *,
        resplit: Resplit | None = None,
        tables: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Selection:
        """Return a subset: ``.summary()`` has its counts, ``.items(columns)`` its rows, ``.sql(query)`` any answer.

        Args:
            subset: a subset; or its options by name (``category="skirt", occlusion=1``), as for ``df2 subset``.
            resplit: divides it anew.
            tables: tables of the user for its condition and SQL, beside those with which the registry was opened.
            options: see :meth:`registry.subset.options.Subset.of`.

        Raises:
            UsageError: an option or value that does not exist, or a table that cannot be read.
        """
        from registry.store.selection import Selection

        selection = Selection(self._with_tables(tables), subset or Subset.of(**options), resplit)
        selection.thumbnails = self.thumbnails
        return selection

    def diff(
        self,
        other: Registry,
        subset: Subset | None = None,
        *,
        tables: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Diff:
        """Return the differences from another registry: ``.summary`` has the counts, ``.items()`` the items.

        Args:
            other: the newer one.
            subset: of both; or its options by name, as for :meth:`select`.
            tables: tables of the user for its condition on both sides.
            options: see :meth:`registry.subset.options.Subset.of`.

        Raises:
            UsageError: an option or value that does not exist, or a table that cannot be read.
        """
        from registry.store.changes import Diff

        old = self._with_tables(tables)
        new = replace(other.snapshot(), own_tables={**other.own_tables, **old.own_tables})
        return Diff(old, new, subset or Subset.of(**options))

    def _with_tables(self, tables: Mapping[str, Any] | None) -> Snapshot:
        """Return the version that is published now with more tables of the user, which replace those of their names."""
        more = load_tables(tables or {}, self.limits.memory, self._storage_options)
        return replace(self.snapshot(), own_tables={**self.own_tables, **more})

    @overload
    def stats(self) -> dict[str, Any]: ...
    @overload
    def stats(self, by: str | Sequence[str] = ..., of: str | None = ...) -> DuckDBPyRelation: ...
    def stats(self, by: str | Sequence[str] = (), of: str | None = None) -> dict[str, Any] | DuckDBPyRelation:
        """Return the counts of the views split_counts, category_counts and attribute_counts, nested by split.

        With ``by`` or ``of``, the rows of a statistic; see :func:`registry.store.statistics.statistic`:
        ``stats(by=("split", "scale"))``, ``stats(of="items_per_image")``.
        """

        def read() -> dict[str, Any] | DuckDBPyRelation:
            with duckdb_errors():
                return statistic(self.sql, by, of) if by or of is not None else nested_counts(self.sql)

        return self._again(read)

    def tables(self, name: str | None = None) -> list[dict[str, str]]:
        """Return the columns of all tables and views, or of the one with this name.

        Returns:
            An entry for every column: table, kind (table or view), column, type, unit, meaning.

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

    def _rows(self, query: str, params: Params | None = None, *, views: bool = True) -> list[tuple[Any, ...]]:
        def fetch() -> list[tuple[Any, ...]]:
            with duckdb_errors():
                return self._relation(query, params, views=views).fetchall()

        return self._again(fetch)

    def _records(self, query: str) -> list[dict[str, Any]]:
        def fetch() -> list[dict[str, Any]]:
            with duckdb_errors():
                return records(self.sql(query))

        return self._again(fetch)

    def _again(self, call: Callable[[], _Answer]) -> _Answer:
        """Return the result of a call, which is repeated if it fails because the registry was replaced meanwhile."""
        while True:
            manifest, stamp = self.manifest, self._read_stamp()
            try:
                return call()
            except (QueryError, NotFoundError, StorageError):
                if not self._is_replaced(manifest, stamp):
                    raise
                with self._lock:
                    self._open()

    def _of_one_version(self, find: Callable[[], _Answer]) -> _Answer:
        """Return the answer of several queries, which are asked again if another version was published meanwhile."""
        while True:
            before = self.snapshot()
            answer = find()
            if self._snapshot is before:
                return answer

    def check_split(self, split: str) -> str:
        """Return ``split`` if the registry has it.

        Raises:
            UnknownNameError: there is no such split; the message lists those of the registry.
        """
        return self._snapshot.check_split(split)

    def _cursor(self, *, views: bool = False) -> DuckDBPyConnection:
        """Return a cursor on the registry as it is now; the first call with ``views`` creates them."""
        with self._lock:
            self._refresh()
            if views and not self._has_views:
                with duckdb_errors():
                    create_views(self._connection)
                self._has_views = True
            return self._connection.cursor()

    def _refresh(self) -> None:
        """Open the published version if it is not the opened version. The caller holds the lock."""
        if self._read_stamp() != self._stamp:
            self._open()

    def _open(self) -> None:
        """Read the manifest and connect to its files; repeated if the registry is replaced in between."""
        while True:
            stamp = self._read_stamp()
            manifest = read_manifest(self.place)
            try:
                if self.place.is_local:
                    self._blocks.check_sizes(manifest.files)
                snapshot = Snapshot(self.place, manifest, self._blocks, self.limits, self.own_tables)
                self._connection = snapshot.connect(views=False)
            except (duckdb.Error, NotFoundError, StorageError) as error:
                if self._is_replaced(manifest, stamp):
                    continue
                cause = own_error(error) if isinstance(error, duckdb.Error) else error
                if isinstance(cause, StorageError):
                    raise cause from error
                command = "with 'dvc checkout' or 'dvc pull'" if self.place.is_local else "with 'df2 sync'"
                raise RegistryFormatError(
                    f"{self.place} lacks a file that its manifest names, or it cannot be read: {cause}\n"
                    f"Bring it back {command}, or do without: df2 manifest {self.place}"
                ) from error
            self._snapshot, self._stamp, self._has_views = snapshot, stamp, False
            _LOG.info("Opened %s: %s", self.place, plural(len(manifest.files), "file"))
            return

    def _is_replaced(self, manifest: Manifest, stamp: tuple[int, int] | None) -> bool:
        """Return whether the place has another version than that of this manifest and stamp."""
        return self._read_stamp() != stamp if self.place.is_local else read_manifest(self.place) != manifest

    def _read_stamp(self) -> tuple[int, int] | None:
        """Return inode and time of a local manifest, which change when it is replaced; None for a remote registry."""
        if self.place.path is None:
            return None
        try:
            status = os.stat(self.place.path / MANIFEST_NAME)
        except OSError:  # reading the manifest reports the error
            return None
        return status.st_ino, status.st_mtime_ns


def _in_categories(numbers: Iterable[int]) -> str:
    """Return a condition on items: DuckDB reads the files of these categories only."""
    return f"category_id IN ({', '.join(map(str, numbers)) or 'NULL'})"


def _reopen(opening: Mapping[str, Any], limits: Limits) -> Registry:
    """Return a registry opened in this process as another process had it open."""
    return Registry(**opening, memory=f"{limits.memory}B", timeout=limits.timeout)
