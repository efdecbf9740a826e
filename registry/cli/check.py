"""``df2 check``: count what is odd in the data."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from registry.cli.completion import complete_check
from registry.cli.context import Places, note
from registry.cli.examples import examples
from registry.cli.limits import SizeType
from registry.cli.official import print_comparison
from registry.cli.output import Output, Rows, output_options, write_rows
from registry.cli.paths import FILE
from registry.cli.progress import progress_bar
from registry.cli.scheduler_option import scheduler_option, workers
from registry.cli.subset_options import undivided_subset_options, within
from registry.cli.values import json_text
from registry.dataset.checks import SEVERITIES
from registry.dataset.tables import ITEMS, PHOTOS
from registry.files.temporary import make_output_folder, write_text
from registry.subset.options import Subset

if TYPE_CHECKING:
    from registry.checks.run import CheckRun
    from registry.snapshot.manifest import Manifest
    from registry.store.registry import Registry
    from registry.store.selection import Selection

#: Values of ``--format`` and suffixes of ``-o`` for JUnit's XML.
_JUNIT: Final = ("junit", "xml")
#: DuckDB keeps the blocks that it reads up to its limit. At full size the checks need less than this, except for those
#: of photos that look alike, which need 1 GB. A check may keep the keys of all items.
_MEMORY: Final = 128_000_000
_ITEMS: Final = 365_000
_BYTES_OF_ITEM: Final = 700


@examples(
    "df2 check",
    "df2 check --severity error --split train",
    "df2 check --only degenerate-box --only duplicate-items --format json",
    "df2 check --rows box-polygon-mismatch -o rows.csv",
    "df2 check --format junit -o checks.xml",
    "df2 check --release",
)
@click.command()
@click.option(
    "--only", multiple=True, metavar="NAME", shell_complete=complete_check, help="Only this check. Repeatable."
)
@click.option(
    "--severity",
    "severities",
    type=click.Choice(SEVERITIES),
    multiple=True,
    help="Only checks of this severity. Repeatable.",
)
@click.option(
    "--rows",
    "rows_of",
    metavar="NAME",
    shell_complete=complete_check,
    help="Write the rows of this check instead, without the accepted ones.",
)
@click.option(
    "--release",
    "beside_release",
    is_flag=True,
    help="Print every published number of the official release beside that of the registry instead.",
)
@click.option("--metrics", type=FILE, help="Also write the counts to a JSON file.")
@click.option(
    "--memory",
    type=SizeType(),
    show_default="128MB and 700 bytes for each item above 365,000; half of the machine's with photos or --rows",
    metavar="LIMIT",
    help="Most memory that DuckDB may use, such as 2GB; 0 for half of the machine's.",
)
@scheduler_option
@undivided_subset_options
@functools.partial(output_options, more_formats=("junit",))
@click.pass_context
def check(
    ctx: click.Context,
    /,
    only: tuple[str, ...],
    severities: tuple[str, ...],
    rows_of: str | None,
    beside_release: bool,
    metrics: Path | None,
    memory: int | None,
    scheduler: str | None,
    subset: Subset,
    tables: dict[str, str],
    output: Output,
) -> None:
    """Count odd annotations and photos.

    docs/reference/checks.md lists the checks. A check counts odd rows; it passes unless they are more than its limit in
    --params (checks: limits). Accepted exceptions, the lines of checks/accepted.jsonl beside that file, do not count.
    With options of a subset, the rows are those within it.

    Exit code 3 where a check of severity error does not pass, or a number differs from that of --release; else 1 where
    a check cannot be run.
    """
    from registry.checks.junit import count_text
    from registry.checks.run import check_rows, load, run_checks
    from registry.checks.settings import load_check_settings
    from registry.execution.cluster import for_cluster

    places: Places = ctx.obj
    if beside_release:
        if rows_of is not None or only or severities or metrics or output.chosen in _JUNIT:
            raise click.UsageError("--release stands alone: expected options of a subset and of the output beside it.")
        data, notices = _open(places, subset, tables, memory)
        code = print_comparison(data, output)
        _note_all(notices)
        ctx.exit(code)
    settings = load_check_settings(ctx.params["params"])
    is_whole = subset == Subset()
    if rows_of is not None:
        if only or severities or metrics:
            raise click.UsageError("--rows writes the rows of one check: expected no --only, --severity or --metrics.")
        if output.chosen in _JUNIT:
            raise click.UsageError("JUnit's XML holds the counts of checks: expected another format of --rows.")
        checks, accepted = load(settings)
        data, notices = _open(places, subset, tables, memory or 0)
        write_rows(Rows.of_relation(check_rows(data, checks, rows_of, accepted)), output)
        _note_all(notices)
        return
    if metrics:
        make_output_folder(metrics.parent)
    data, notices = _open(places, subset, tables, memory)
    with progress_bar("Checking") as progress, workers(scheduler) as executor:
        cluster = for_cluster(executor, 1, places.storage_options, None, places.registry) if executor else None
        run = run_checks(data, settings, only, severities, is_whole=is_whole, executor=cluster, progress=progress)
    if metrics:
        write_text(metrics, json_text({result.name: result.count for result in run}, indent=1) + "\n")
    _write(run, output)
    _note_all([*notices, *run.notices])
    for result in run.broken:
        click.echo(f"df2 check: {result.problem}", err=True)
    for result in run.failures:
        click.echo(f"df2 check: {result.name}: {count_text(result)} in {settings.place}, limits.", err=True)
    if run.failures or run.broken:
        ctx.exit(3 if run.failures else 1)


def _open(
    places: Places, subset: Subset, tables: dict[str, str], memory: int | None
) -> tuple[Registry | Selection, list[str]]:
    """Return the registry, or the selection of a subset, with its notices.

    Args:
        places: of the registry.
        subset: all for the whole registry.
        tables: of the user.
        memory: limit of DuckDB, bytes; 0 for half of the machine's, None for what the checks need.
    """
    first = _MEMORY if memory is None else memory
    registry = places.open(tables=tables, memory=f"{first}B" if first else None)
    if memory is None and (needed := needed_memory(registry.manifest)) != _MEMORY:
        registry = places.open(tables=tables, memory=f"{needed}B" if needed else None)
    return within(registry, subset)


def needed_memory(manifest: Manifest) -> int | None:
    """Return the bytes that DuckDB may use for the checks of a registry; None for half of the machine's memory."""
    if any(file.rows for file in manifest.of_table(PHOTOS.name)):
        return None
    num_items = sum(file.rows for file in manifest.of_table(ITEMS.name))
    return _MEMORY + _BYTES_OF_ITEM * max(0, num_items - _ITEMS)


def _write(run: CheckRun, output: Output) -> None:
    """Write the results in the chosen format."""
    if output.chosen in _JUNIT:
        from registry.checks.junit import junit_text

        if output.path is None:
            click.echo(junit_text(run), nl=False)
        else:
            write_text(output.path, junit_text(run))
        return
    records = [result.to_dict() for result in run]
    if output.is_table:
        names = ("check", "severity", "count", "accepted", "limit", "passed")
        records = [record | {"accepted": result.accepted} for record, result in zip(records, run, strict=True)]
        records = [{name: _for_people(record[name]) for name in names} for record in records]
    write_rows(Rows.of_records(records), output)


def _for_people(value: object) -> object:
    """Return a value of a result as people read it."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else "" if value is None else value


def _note_all(notices: list[str]) -> None:
    for notice in notices:
        note(f"note: {notice}")
