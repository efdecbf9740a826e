"""The options that say a subset, the same for every command that takes one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import click

from registry.cli.interruption import checked
from registry.cli.limits import half_of_memory, memory_checks
from registry.dataset.deepfashion2 import ATTRIBUTE_CODES, SOURCES, SPLITS
from registry.subset.options import Subset, load_subset
from registry.subset.resplit import Resplit

Command = TypeVar("Command", bound=Callable[..., Any])

_TOO_MUCH = "The condition of --where needs more than half of this machine's memory. Ask for less in it."

_OPTIONS = (
    click.option("--subset", "named", metavar="NAME", help="A named subset; other options change it."),
    click.option("--params", type=click.Path(), default="params.yaml", show_default=True, help="Where it is."),
    click.option("--split", multiple=True, metavar="|".join(SPLITS), help="Of this split. Repeatable."),
    click.option("--category", multiple=True, metavar="NAME|ID", help="Of this category. Repeatable."),
    click.option("--source", multiple=True, metavar="|".join(SOURCES), help="From consumers or from shops."),
    *(
        click.option(
            f"--{name.replace('_', '-')}",
            multiple=True,
            metavar="CODE|NAME",
            help=f"{', '.join(f'{code} {meaning}' for code, meaning in codes.items())}; 1-2 for a range. Repeatable.",
        )
        for name, codes in ATTRIBUTE_CODES.items()
    ),
    click.option("--style", multiple=True, metavar="N|A-B", help="Of this style or range (1- for 1 and above)."),
    click.option("--pair-id", multiple=True, metavar="N|A-B", help="Of this group or range. Repeatable."),
    click.option(
        "--image-id", multiple=True, metavar="N|A-B|@FILE", help="Images, or those that FILE lists, one a line."
    ),
    click.option("--has-landmarks", is_flag=True, help="Only items with at least one labelled landmark."),
    click.option("--min-box-area", type=float, metavar="PX2", help="Only items whose box is at least so large."),
    click.option("--where", metavar="SQL", help="A condition over the columns of items: 'x2 - x1 > 2 * (y2 - y1)'."),
    click.option("--paired", is_flag=True, help="Only items with a counterpart inside the subset."),
    click.option("--whole-images", is_flag=True, help="All items of every image that has a matching one."),
    click.option(
        "--sample",
        metavar="N|P%",
        help="So many items by a hash of their key; whole images with --whole-images, identities with --paired.",
    ),
    click.option("--seed", type=int, metavar="S", help="Of what is chosen at random.  [default: 0]"),
    click.option("--limit", type=click.IntRange(0), metavar="N", help="At most so many, counted as for --sample."),
)  # fmt: skip
_OF_DIVISION = (
    click.option(
        "--resplit", metavar="PART=SHARE,...", help="Divide anew, pair_id by pair_id: train=0.8,val=0.1,test=0.1."
    ),
    click.option(
        "--stratify", type=click.Choice(["category"]), help="Balance the parts of --resplit by category."
    ),
)  # fmt: skip


def subset_options(command: Command) -> Command:
    """Add the options of a subset to a command; it gets ``subset`` and ``resplit``."""
    return _with_options(command, (*_OPTIONS, *_OF_DIVISION))


def undivided_subset_options(command: Command) -> Command:
    """Add the options of a subset, without those that divide it anew, to a command; it gets ``subset``."""
    return _with_options(command, _OPTIONS)


def _with_options(command: Command, options: Sequence[Callable[[Any], Any]]) -> Command:
    @functools.wraps(command)
    def with_subset(*args: Any, named: str | None, params: str, **kwargs: Any) -> Any:
        options = {field.name: kwargs.pop(field.name) for field in fields(Subset)}
        base = load_subset(named, params) if named else {}
        given = {
            name: value for name, value in options.items() if value is not None and value != () and value is not False
        }
        if "resplit" in kwargs:
            kwargs["resplit"] = _read_division(kwargs["resplit"], kwargs.pop("stratify"), options["seed"])
        subset = Subset.of(**{name.replace("-", "_"): value for name, value in base.items()} | given)
        if subset.where:
            click.get_current_context().with_resource(checked(*memory_checks(half_of_memory(), _TOO_MUCH)))
        return command(*args, subset=subset, **kwargs)

    for option in reversed(options):
        with_subset = option(with_subset)
    return with_subset  # type: ignore[return-value]  # the options change the signature


def _read_division(resplit: str | None, stratify: str | None, seed: int | None) -> Resplit | None:
    if stratify and not resplit:
        raise click.UsageError("--stratify balances the parts of --resplit, which is not given.")
    return Resplit.parse(resplit, seed or 0, stratify is not None) if resplit else None
