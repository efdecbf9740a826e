"""The kinds of arguments that name a file or a place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from registry.redaction import printable, redact
from registry.storage.paths import local_path


class PlaceType(click.ParamType[str]):
    """A folder or an fsspec URL. An empty text would mean the working directory, or the root of the disk."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the text; fail where it is empty."""
        if not value:
            self.fail("it is empty; expected a path or an fsspec URL.", param, ctx)
        try:
            value.encode()
        except UnicodeEncodeError:
            self.fail(f"expected a path in UTF-8, found {printable(value)}.", param, ctx)
        return value


class FileType(click.Path):
    """A local path or ``file://`` URL.

    Args:
        url_okay: whether it may be a URL of another file system too.
        options: of :class:`click.Path`.
    """

    def __init__(self, *, url_okay: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.url_okay = url_okay

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; fail where it is empty or a URL that is not asked for."""
        if value in ("", b""):
            self.fail("it is empty; expected a path.", param, ctx)
        if isinstance(value, str) and "://" in value and not self.url_okay:
            path = local_path(value)
            if path is None:
                self.fail(f"{redact(value)} is a URL; expected a local path.", param, ctx)
            value = str(path)
        return super().convert(value, param, ctx)


PLACE = PlaceType()
#: A file to write, as a path.
FILE = FileType(dir_okay=False, path_type=Path)
