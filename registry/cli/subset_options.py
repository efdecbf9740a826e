"""The options of a subset on the command line: :data:`registry.subset.options.OPTIONS` as options of click."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from registry.cli.completion import (
    complete_attribute,
    complete_category,
    complete_check,
    complete_source,
    complete_split,
    complete_subset,
)
from registry.cli.interruption import checked
from registry.cli.limits import half_of_memory, memory_checks
from registry.dataset.deepfashion2 import ATTRIBUTE_CODES
from registry.subset.options import OPTIONS, Option, Subset
from registry.subset.params import load_subset, read_tables, tables_of_subset
from registry.subset.resplit import Resplit

if TYPE_CHECKING:
    from registry.store.registry import Registry
    from registry.store.selection import Selection

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Any], Any]

_TOO_MUCH = "The condition of --where needs more than half of this machine's memory. Ask for less in it."
#: Types that click checks itself; other values are read by the option.
_CLICK_TYPES = {"min_box_area": click.FLOAT, "seed": click.INT, "limit": click.IntRange(0)}
#: Completion of values, by the name of the option.
_COMPLETERS: dict[str, Any] = {
    "split": complete_split,
    "category": complete_category,
    "source": complete_source,
    "exclude_check": complete_check,
    **dict.fromkeys(ATTRIBUTE_CODES, complete_attribute),
}


def _click_option(name: str, option: Option, flag: str | None = None) -> Decorator:
    """Return an option of a subset as an option of click: a flag, a repeatable or a single option."""
    flag = flag or f"--{name.replace('_', '-')}"
    if option.default is False:
        return click.option(flag, name, is_flag=True, help=option.help)
    if option.default == ():
        help_text = f"{option.help} Repeatable."
        return click.option(
            flag, name, multiple=True, metavar=option.metavar, help=help_text, shell_complete=_COMPLETERS.get(name)
        )
    shown_default = "" if option.default is None else f"  [default: {option.default}]"
    return click.option(
        flag, name, type=_CLICK_TYPES.get(name), metavar=option.metavar, help=f"{option.help}{shown_default}"
    )


#: Adds ``--table`` to a command, which gets ``table_values`` for :func:`registry.subset.params.read_tables`.
table_option: Decorator = click.option(
    "--table",
    "table_values",
    multiple=True,
    metavar="NAME=FILE|URL",
    help="A table of your own (Parquet, Arrow, CSV, JSON lines) with split, image_id and item_no, or split and "
    "image_id: NAME.COLUMN in --where. NAME alone is a table of --params. Repeatable.",
)
_BEFORE_SUBSET = (
    click.option(
        "--subset",
        "subset_name",
        metavar="NAME",
        shell_complete=complete_subset,
        help="A named subset of --params; other options replace those of the same name in it.",
    ),
    click.option(
        "--params", type=click.Path(), default="params.yaml", show_default=True, help="File of --subset and --table."
    ),
    table_option,
)
_SUBSET_OPTIONS = (*_BEFORE_SUBSET, *(_click_option(name, option) for name, option in OPTIONS.items()))
_RESPLIT_OPTIONS = (
    click.option(
        "--resplit",
        metavar="PART=SHARE,...",
        help="Divide into new parts, all images of a pair_id into one: train=0.8,val=0.1,test=0.1. Photos without "
        "annotation are left out unless --split names test.",
    ),
    click.option("--stratify", type=click.Choice(["category"]), help="Balance the parts of --resplit by category."),
)


def subset_options(command: Command) -> Command:
    """Add the options of a subset and of a division to a command; it gets ``subset``, ``tables`` and ``resplit``."""
    return _with_options(command, (*_SUBSET_OPTIONS, *_RESPLIT_OPTIONS))


def undivided_subset_options(command: Command) -> Command:
    """Add the options of a subset to a command; it gets ``subset`` and ``tables`` (name -> path or URL)."""
    return _with_options(command, _SUBSET_OPTIONS)


def evaluated_subset_options(command: Command) -> Command:
    """Add the options of a subset to a command that writes a file of items: the list to read is ``--only-items``."""
    renamed = {"items": "--only-items"}
    options = (_click_option(name, option, renamed.get(name)) for name, option in OPTIONS.items())
    return _with_options(command, (*_BEFORE_SUBSET, *options))


def _with_options(command: Command, decorators: Sequence[Decorator]) -> Command:
    @functools.wraps(command)
    def with_subset(
        *args: Any, subset_name: str | None, params: str, table_values: tuple[str, ...], **kwargs: Any
    ) -> Any:
        options = {name: kwargs.pop(name) for name in OPTIONS}
        if "resplit" in kwargs:
            kwargs["resplit"] = _read_resplit(kwargs["resplit"], kwargs.pop("stratify"), options["seed"])
        _check_params(params)
        base = load_subset(subset_name, params) if subset_name else {}
        of_subset = base.pop("table", None)
        tables = read_tables(table_values, params) if table_values else tables_of_subset(of_subset, params)
        subset = _read_subset(base, options)
        if subset.where:
            click.get_current_context().with_resource(checked(*memory_checks(half_of_memory(), _TOO_MUCH)))
        return command(*args, subset=subset, tables=tables, **kwargs)

    for decorator in reversed(decorators):
        with_subset = decorator(with_subset)
    return with_subset  # type: ignore[return-value]  # the options change the signature


def within(
    registry: Registry, subset: Subset, resplit: Resplit | None = None
) -> tuple[Registry | Selection, list[str]]:
    """Return the registry itself, or the selection of a subset or division of it; and its notices."""
    if subset == Subset() and resplit is None:
        return registry, registry.table_notices()
    selection = registry.select(subset, resplit=resplit)
    return selection, selection.notices


def _check_params(params: str) -> None:
    """Raise a usage error where the command line names a parameter file that does not exist."""
    is_named = click.get_current_context().get_parameter_source("params") != click.core.ParameterSource.DEFAULT
    if is_named and not Path(params).exists():
        raise click.BadParameter(f"There is no file {params}.", param_hint="--params")


def _read_subset(base: dict[str, Any], options: dict[str, Any]) -> Subset:
    """Return the subset of the options of a command line, which replace those of a named subset."""
    used = {
        option: value for option, value in options.items() if value is not None and value != () and value is not False
    }
    return Subset.of(**{option.replace("-", "_"): value for option, value in base.items()} | used)


def _read_resplit(resplit: str | None, stratify: str | None, seed: int | None) -> Resplit | None:
    if stratify and not resplit:
        raise click.UsageError("--stratify balances the parts of --resplit, which is not given.")
    return Resplit.parse(resplit, seed or 0, stratify is not None) if resplit else None
