"""Lists of files as rows: of a sync or a verification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from registry.cli.output import Output, Rows, write_rows

if TYPE_CHECKING:
    import pyarrow as pa


def write_file_list(
    columns: Mapping[str, Literal["text", "integer"]], records: Sequence[Mapping[str, Any]], output: Output
) -> None:
    """Write records as rows; an empty list still has its columns.

    Args:
        columns: name -> type, in order.
        records: the rows, by name of the column.
        output: format and destination.
    """

    def arrow() -> pa.Table:
        import pyarrow as pa

        types = {"text": pa.string(), "integer": pa.int64()}
        return pa.Table.from_pylist(list(records), pa.schema([(name, types[kind]) for name, kind in columns.items()]))

    write_rows(Rows(list(columns), ([record[name] for name in columns] for record in records), arrow), output)
