"""The paths that DuckDB knows the files of a registry by: they follow from the manifest alone."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

from registry.dataset.deepfashion2 import CATEGORY_BY_ID, SPLITS
from registry.dataset.tables import TABLES
from registry.errors import RegistryFormatError
from registry.snapshot.manifest import DataFile, Manifest

#: The protocol of these paths.
PROTOCOL: Final = "df2"


def table_paths(manifest: Manifest) -> dict[str, list[str]]:
    """Return the pattern that gives DuckDB the files of each table; none for a table without files.

    A pattern, because DuckDB asks for each path that it is given several times in every query.
    """
    tables = {file.table for file in manifest.files}
    return {name: [f"{PROTOCOL}://{name}/*"] if name in tables else [] for name in TABLES}


def virtual_path(file: DataFile) -> str:
    """Return the path that DuckDB knows a file by, such as ``df2://items/split=train/category_id=1/NAME.parquet``.

    Its folders are the partition of the file, from which DuckDB takes the values of the partition columns.

    Raises:
        RegistryFormatError: the manifest's path is not that of a file of its table and split.
    """
    folder, _, name = file.path.rpartition("/")
    return f"{PROTOCOL}://{'/'.join([file.table, *_partition(file, folder)])}/{quote(name, safe='')}"


def _partition(file: DataFile, folder: str) -> list[str]:
    """Return ``column=value`` for the partition columns of a file, if its folder says these and nothing else."""
    allowed: dict[str, set[str | None]] = {
        "split": {file.split} & set(SPLITS),
        "category_id": set(map(str, CATEGORY_BY_ID)),
    }
    table = TABLES.get(file.table)
    columns = table.partition if table else ()
    first, *parts = folder.split("/")
    if table and first == table.name and len(parts) == len(columns):
        values = [part.removeprefix(f"{column}=") for column, part in zip(columns, parts, strict=True)]
        rebuilt = [f"{column}={value}" for column, value in zip(columns, values, strict=True)]
        if parts == rebuilt and all(value in allowed[column] for column, value in zip(columns, values, strict=True)):
            return parts
    expected = "/".join([file.table, *(f"{column}=VALUE" for column in columns), "NAME.parquet"])
    raise RegistryFormatError(
        f"The manifest gives the path {file.path!r} to a file of the table {file.table} and the split {file.split}: "
        f"expected {expected}."
    )
