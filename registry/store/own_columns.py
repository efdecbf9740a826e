"""Columns of a user's tables, ``TABLE.COLUMN``: joined to items, and the bounds of their values for conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from registry.errors import UnknownNameError, UsageError
from registry.store.growth import Shape
from registry.store.own_tables import OwnTable
from registry.store.sql import quote_name

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection


def find_column(tables: Mapping[str, OwnTable], name: str) -> tuple[OwnTable, str]:
    """Return the table and the column that ``TABLE.COLUMN`` names.

    Raises:
        UnknownNameError: there is no such table or column.
        UsageError: the table has no key.
    """
    table_name, _, column = name.partition(".")
    table = {table.name.lower(): table for table in tables.values()}.get(table_name.lower())
    if table is None:
        names = ", ".join(tables) or "none"
        raise UnknownNameError(
            f"{name}: there is no table {table_name!r} of yours. There is: {names}. --table {table_name}=FILE loads "
            f"one, tables={{{table_name!r}: ...}} in Python."
        )
    return table, table.column(column)


def struct_joins(columns: Mapping[str, Sequence[str]], tables: Mapping[str, OwnTable]) -> str:
    """Return SQL that joins tables to ``items``, each as a single column: a struct of some of its columns.

    A struct has its name alone in the query, so that no column of the table takes the place of a column of items.

    Args:
        columns: name of a table -> its columns.
        tables: of the user, by name.
    """
    joins = []
    for name, names in columns.items():
        key = ", ".join(tables[name].key)
        fields = ", ".join(f"{quote_name(column)} := {quote_name(tables[name].in_by_key(column))}" for column in names)
        rows = f"SELECT {key}, struct_pack({fields}) AS {quote_name(name)} FROM by_key.{quote_name(name)}"
        joins.append(f" LEFT JOIN ({rows}) USING ({key})")
    return "".join(joins)


@dataclass(frozen=True, slots=True)
class OwnColumns:
    """Columns of tables that stand beside those of items, named ``TABLE.COLUMN``.

    Attributes:
        found: name as the user wrote it -> the table and its column.
    """

    found: Mapping[str, tuple[OwnTable, str]] = field(default_factory=dict)

    @classmethod
    def of(cls, names: Iterable[str], tables: Mapping[str, OwnTable]) -> OwnColumns:
        """Return the columns of these names.

        Raises:
            UnknownNameError, UsageError: as for :func:`find_column`.
        """
        return cls({name: find_column(tables, name) for name in names})

    def schema(self, connection: DuckDBPyConnection) -> pa.Schema:
        """Return the Arrow fields of the columns, as a connection with the tables returns them."""
        import pyarrow as pa

        fields = []
        for name, (table, column) in self.found.items():
            query = f"SELECT {quote_name(table.in_by_key(column))} FROM by_key.{quote_name(table.name)} LIMIT 0"
            fields.append(connection.cursor().sql(query).to_arrow_table().schema.field(0).with_name(name))
        return pa.schema(fields)

    def select(self, columns: Sequence[str]) -> str:
        """Return the list of a SELECT over ``items`` and :meth:`joins`: columns of items, or of this object."""
        selected = []
        for name in columns:
            if name in self.found:
                table, column = self.found[name]
                selected.append(f"{_alias(table)}.{quote_name(table.in_by_key(column))} AS {quote_name(name)}")
            else:
                selected.append(f"items.{name}")
        return ", ".join(selected)

    def joins(self, columns: Sequence[str], condition: str = "true") -> str:
        """Return SQL that joins the tables of some columns to ``items``.

        Args:
            columns: of items, or of this object.
            condition: on the columns of a table's key, to read some rows only.
        """
        tables = {self.found[name][0].name: self.found[name][0] for name in columns if name in self.found}
        return "".join(
            f" LEFT JOIN (FROM by_key.{quote_name(table.name)} WHERE {condition}) AS {_alias(table)} "
            f"USING ({', '.join(table.key)})"
            for table in tables.values()
        )


def _alias(table: OwnTable) -> str:
    return quote_name(f"own {table.name}")


def column_shape(table: OwnTable, column: str) -> Shape:
    """Return upper bounds of the values in a column.

    Raises:
        UsageError: conditions do not take values of its type. A time with a zone depends on that of the machine.
    """
    values = table.rows.column(column)
    shape = _shape(values)
    if shape is None:
        raise UsageError(
            f"{table.name}.{column} has the type {values.type}: a condition takes numbers, texts, booleans, dates, "
            "times without a zone, and lists of these."
        )
    return shape


def _shape(values: pa.ChunkedArray) -> Shape | None:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind, types = values.type, pa.types
    if types.is_dictionary(kind):
        return _shape(values.cast(kind.value_type))
    if types.is_string(kind) or types.is_large_string(kind):
        return Shape(8 + (pc.max(pc.binary_length(values)).as_py() or 0))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        element = _shape(pc.list_flatten(values))
        return element and Shape(count=pc.max(pc.list_value_length(values)).as_py() or 0, element=element)
    is_number = types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_boolean(kind)
    is_day = types.is_date(kind) or (types.is_timestamp(kind) and kind.tz is None)
    return Shape() if is_number or is_day or types.is_null(kind) else None
