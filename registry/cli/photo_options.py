"""Options of commands that read photos: their place, their splits, and the number of worker processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from registry.cli.completion import complete_split
from registry.cli.paths import PLACE
from registry.dataset.deepfashion2 import SPLITS
from registry.subset.params import load_sources

Command = TypeVar("Command", bound=Callable[..., Any])

PASSWORD_PROMPT = "Password of the photos' zip"

#: Adds ``-j`` to a command, which gets ``jobs``: None for the number of cores.
jobs_option: Callable[[Command], Command] = click.option(
    "-j", "--jobs", type=click.IntRange(1), metavar="N", help="Worker processes. Default: the number of cores."
)


def splits_option(help_text: str) -> Callable[[Command], Command]:
    """Return the option ``--split`` of a command, which gets ``splits``: empty for all splits of the registry.

    Args:
        help_text: tells the part of a split in the command.
    """
    return click.option(
        "--split",
        "splits",
        multiple=True,
        metavar="|".join(SPLITS),
        shell_complete=complete_split,
        help=f"{help_text}; repeatable. Default: all splits of the registry.",
    )


def photos_option(command: Command) -> Command:
    """Add ``--photos`` and ``--follow-links`` to a command."""
    with_links = click.option("--follow-links", is_flag=True, help="Read photos that are links out of RELEASE.")(
        command
    )
    return click.option(
        "--photos",
        type=PLACE,
        metavar="RELEASE",
        envvar="DF2_PHOTOS",
        show_envvar=True,
        help="Folder or URL of the release with the photos: SPLIT/image or SPLIT.zip in it. Default: the sources in "
        "params.yaml.",
    )(with_links)


def photo_sources(photos: str | None, params: str = "params.yaml") -> str | dict[str, str] | None:
    """Return the release with the photos, or the source of each split in params.yaml; None without any."""
    return photos or load_sources(params) or None
