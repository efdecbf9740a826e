"""The place of the photos: ``--photos``, or the sources in params.yaml."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from registry.cli.paths import PLACE
from registry.subset.params import load_sources

Command = TypeVar("Command", bound=Callable[..., Any])

PASSWORD_PROMPT = "Password of the photos' zip"


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
