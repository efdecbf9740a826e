"""DuckDB's paths of a registry's files, which follow from the manifest."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from registry.dataset.names import is_partition_value
from registry.dataset.tables import TABLES
from registry.errors import RegistryFormatError
from registry.snapshot.manifest import DataFile, Manifest

#: The protocol of these paths.
PROTOCOL: Final = "df2"


def table_paths(manifest: Manifest) -> dict[str, list[str]]:
    """Return a pattern for the files of each table; an empty list for a table without files.

    With a list of paths, DuckDB would look up each of them several times in every query.
    """
    tables = {file.table for file in manifest.files}
    return {name: [f"{PROTOCOL}://{name}/*"] if name in tables else [] for name in TABLES}


def virtual_path(file: DataFile) -> str:
    """Return DuckDB's path of a file, such as ``df2://items/split=train/category_id=1/NAME.parquet``.

    DuckDB takes the values of the partition columns from its folders.

    Raises:
        RegistryFormatError: the manifest's path does not fit the file's table and split.
    """
    folder, _, name = file.path.rpartition("/")
    return f"{PROTOCOL}://{'/'.join([file.table, *_partition(file, folder)])}/{quote(name, safe='')}"


def _partition(file: DataFile, folder: str) -> list[str]:
    """Return ``column=value`` for the partition columns of a file, from its folder."""
    table = TABLES.get(file.table)
    columns = table.partition if table else ()
    first, *parts = folder.split("/")
    if table and first == table.name and len(parts) == len(columns):
        values = [part.removeprefix(f"{column}=") for column, part in zip(columns, parts, strict=True)]
        rebuilt = [f"{column}={value}" for column, value in zip(columns, values, strict=True)]
        is_of_split = "split" not in columns or values[columns.index("split")] == file.split
        if parts == rebuilt and is_of_split and all(map(is_partition_value, columns, values)):
            return parts
    expected = "/".join([file.table, *(f"{column}=VALUE" for column in columns), "NAME.parquet"])
    raise RegistryFormatError(
        f"The manifest gives the path {file.path!r} to a file of the table {file.table} and the split {file.split}: "
        f"expected {expected}."
    )
