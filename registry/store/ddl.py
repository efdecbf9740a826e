"""The tables and views of a registry as SQL for other engines: DuckDB elsewhere, and Spark SQL.

The text names the Parquet files of one version, so it is to be printed again after the next ingestion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from registry.dataset.deepfashion2 import unknown_name
from registry.dataset.tables import EMBEDDINGS, TABLES, Field, Table, duckdb_type
from registry.dataset.views import load_views, spark_views
from registry.errors import UsageError
from registry.redaction import redact, without_user
from registry.store.registry import Registry
from registry.store.sql import glob_escape, quote
from registry.store.views import relations, views_in_order

DIALECTS: Final = ("duckdb", "spark")
#: Scalar type of a field -> Spark's type.
_SPARK_TYPES: Final = {
    "int8": "TINYINT",
    "int16": "SMALLINT",
    "int32": "INT",
    "int64": "BIGINT",
    "float32": "FLOAT",
    "float64": "DOUBLE",
    "bool": "BOOLEAN",
    "string": "STRING",
    "binary": "BINARY",
}
#: Characters that have a meaning in Spark's paths or end its quoted names.
_SPARK_SPECIAL: Final = "*?[]{}`"


@dataclass(frozen=True, slots=True)
class Ddl:
    """Statements that create the tables and views of a registry in a session of an engine.

    Attributes:
        statements: to be run in this order, without semicolons at their ends.
        notices: a sentence on each column that the engine cannot read, and on a URL without its password.
    """

    statements: tuple[str, ...]
    notices: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "".join(f"{statement};\n\n" for statement in self.statements).removesuffix("\n")


def make_ddl(registry: Registry, dialect: str = "duckdb", names: Sequence[str] = ()) -> Ddl:
    """Return the statements for tables and views, each after those it reads.

    Args:
        registry: an open registry.
        dialect: one of :data:`DIALECTS`.
        names: tables and views, to which those that they read are added; all by default.

    Raises:
        UnknownNameError: there is no such dialect, table or view.
        UsageError: the engine cannot name the registry's path, or a part of it is a secret.
    """
    if dialect not in DIALECTS:
        raise unknown_name("dialect", dialect, list(DIALECTS))
    is_spark = dialect == "spark"
    views = spark_views() if is_spark else {name: view.sql for name, view in load_views().items()}
    ordered = [*TABLES, *(view.name for view in views_in_order())]
    for name in names:
        if name not in ordered:
            raise unknown_name("table or view", name, ordered)
    wanted = set(names or ordered)
    for name in reversed(ordered):
        if name in wanted and name in views:
            wanted |= relations(views[name]) & set(ordered)
    url = registry.snapshot().place.absolute_url
    root = without_user(url)
    _check_path(root, dialect)
    halves = _half_floats(registry) if is_spark and EMBEDDINGS.name in wanted else set()
    tables: _Tables = _SparkTables(root, registry, halves) if is_spark else _DuckDBTables(root, registry)
    statements = []
    for table in (TABLES[name] for name in TABLES if name in wanted):
        select = tables.select(table)
        statements += [*tables.helpers, f"CREATE OR REPLACE TEMPORARY VIEW {table.name} AS\n{select}"]
        tables.helpers.clear()
    for name in ordered[len(TABLES) :]:
        if name in wanted:
            statements.append(f"CREATE OR REPLACE TEMPORARY VIEW {name} AS\n{views[name].rstrip()}")
    notices = [_notice(model) for model in sorted({model for model, _ in halves})]
    if root != url:
        notices.append(f"The statements name {root} without its password: give it to the engine in its own way.")
    return Ddl(tuple(statements), tuple(notices))


def spark_type(name: str) -> str:
    """Return Spark's type for the type of a field."""
    return f"ARRAY<{spark_type(name[5:-1])}>" if name.startswith("list<") else _SPARK_TYPES[name]


def _check_path(root: str, dialect: str) -> None:
    """Check that an engine can name the files below a path.

    Raises:
        UsageError: the path has characters that the engine takes for a pattern, or a secret that would be printed.
    """
    if "://" in root and redact(root) != root:
        raise UsageError(f"The registry {root} has a secret in its path, which the statements would show: move it.")
    special = "\\" + (_SPARK_SPECIAL if dialect == "spark" else "")
    wrong = sorted({character for character in root if character in special or not character.isprintable()})
    if wrong:
        listed = " ".join(map(repr, wrong))
        raise UsageError(
            f"The registry {root!r} has {listed} in its path, which {dialect} takes for something else: move it."
        )


def _half_floats(registry: Registry) -> set[tuple[str, str]]:
    """Return the (model, split) whose vectors are stored as half floats."""
    if not registry.manifest.models:
        return set()
    return set(registry.sql("SELECT model, split FROM embedding_models WHERE dtype = 'float16'").fetchall())


def _notice(model: str) -> str:
    return (
        f"The vectors of the model {model} are stored as half floats, which Spark does not read: its column vector is "
        "NULL there. Add them as float32 (df2 embeddings make or add --dtype float32 --replace)."
    )


class _Tables:
    """Writes SELECTs of tables: one part for the files of each folder, with the folder's values as constants."""

    def __init__(self, root: str, registry: Registry) -> None:
        self._root, self._manifest = root, registry.manifest
        #: Statements that the SELECTs need before them.
        self.helpers: list[str] = []

    def select(self, table: Table) -> str:
        """Return a SELECT of a table."""
        parts = []
        for folder, files in groupby(self._manifest.of_table(table.name), lambda file: file.path.rpartition("/")[0]):
            values = dict(part.split("=", 1) for part in folder.split("/")[1:])
            constants = {name: quote(value) for name, value in values.items()}
            later = (column.name for column in table.columns if column.since > self._manifest.schema_version)
            constants |= dict.fromkeys(later, "NULL")
            source = self.source(table, values, [file.path for file in files], constants)
            parts.append(f"SELECT {self._columns(table, constants)}\nFROM {source}")
        empty = f"SELECT {self._columns(table, dict.fromkeys((c.name for c in table.columns), 'NULL'))}\nWHERE false"
        return "\nUNION ALL\n".join(parts) or empty

    def _columns(self, table: Table, constants: dict[str, str]) -> str:
        return ", ".join(
            f"CAST({constants[c.name]} AS {self.type(c.field)}) AS {c.name}" if c.name in constants else c.name
            for c in table.columns
        )

    def type(self, field: Field) -> str:
        """Return the engine's type of a field."""
        raise NotImplementedError

    def source(self, table: Table, values: dict[str, str], paths: list[str], constants: dict[str, str]) -> str:
        """Return the files of a folder after FROM; columns that cannot be read are added to the constants."""
        raise NotImplementedError


class _DuckDBTables(_Tables):
    def type(self, field: Field) -> str:
        return duckdb_type(field)

    def source(self, table: Table, values: dict[str, str], paths: list[str], constants: dict[str, str]) -> str:
        listed = ", ".join(quote(glob_escape(f"{self._root}/{path}")) for path in paths)
        return f"read_parquet([{listed}], hive_partitioning = false)"


class _SparkTables(_Tables):
    def __init__(self, root: str, registry: Registry, halves: set[tuple[str, str]]) -> None:
        super().__init__(root, registry)
        self._halves = halves

    def type(self, field: Field) -> str:
        return spark_type(field.type)

    def source(self, table: Table, values: dict[str, str], paths: list[str], constants: dict[str, str]) -> str:
        folder, names = paths[0].rpartition("/")[0], [path.rpartition("/")[2] for path in paths]
        path = f"{self._root}/{folder}/{names[0] if len(names) == 1 else '{' + ','.join(names) + '}'}"
        if table is not EMBEDDINGS or (values["model"], values["split"]) not in self._halves:
            return f"parquet.`{path}`"
        # Spark refuses a file with half floats unless the columns to read are named, without that one.
        constants["vector"] = "NULL"
        name = f"embeddings_without_vectors_{1 + len(self.helpers)}"
        columns = ", ".join(f"{c.name} {self.type(c.field)}" for c in table.columns if c.name not in constants)
        literal = path.replace("'", "\\'")
        self.helpers.append(
            f"CREATE OR REPLACE TEMPORARY VIEW {name} ({columns})\nUSING parquet OPTIONS (path '{literal}')"
        )
        return name
