"""Commands with a log of everything, and a traceback, in forks of a process that has loaded s3fs."""

from __future__ import annotations

import logging
from typing import Any

import s3fs  # noqa: F401 (loaded once for all forks; the commands use it)

from tests.cli.forked import before_forks, df2

__all__ = ["before_forks", "df2_logged", "open_registry"]


def df2_logged(words: list[str]) -> None:
    logging.basicConfig(level=logging.DEBUG)
    df2(words, {})


def open_registry(url: str, options: dict[str, Any]) -> None:
    """Open a registry from Python, whose traceback is shown if it cannot be opened."""
    import registry

    registry.open(url, options)
