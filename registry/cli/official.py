"""The comparison of a registry with the official release, as ``df2 check --release`` prints it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from registry.cli.context import note
from registry.cli.output import Output, Rows, write_rows

if TYPE_CHECKING:
    from registry.store.registry import Registry
    from registry.store.selection import Selection

#: Exit code where a number differs, as for checks that find more than their limit.
DIFFERS: Final = 3
#: Columns for people, the most telling first; a narrow terminal leaves out the last ones.
_COLUMNS: Final = ("split", "what", "registry", "official", "difference", "agrees", "source")


def print_comparison(registry: Registry | Selection, output: Output) -> int:
    """Print a registry beside the official release; return the exit code: 0 where all numbers agree, else 3.

    Notes on standard error say which edition each split is and where the published numbers contradict each other.
    """
    from registry.checks.official import compare_with_release

    comparison = compare_with_release(registry)
    records = comparison.records()
    if output.is_table:
        records = [{name: record[name] for name in _COLUMNS} for record in records if record["registry"] is not None]
    if records:
        write_rows(Rows.of_records(records), output)
    for sentence in comparison.sentences:
        note(sentence)
    note("Published numbers that contradict each other or cannot be compared:")
    for sentence in comparison.contradictions:
        note(f"  {sentence}")
    return 0 if comparison.agrees else DIFFERS
