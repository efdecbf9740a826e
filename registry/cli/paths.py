"""Types of arguments: paths and URLs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from registry.redaction import printable, redact
from registry.storage.paths import local_path


class PlaceType(click.ParamType[str]):
    """A folder or an fsspec URL; empty texts, which mean the working directory elsewhere, are refused."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the text; fail if it is empty or not UTF-8."""
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
        url_okay: whether URLs of other file systems are accepted.
        options: options of :class:`click.Path`.
    """

    def __init__(self, *, url_okay: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.url_okay = url_okay

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the path; fail if it is empty, or a URL where none is accepted."""
        if value in ("", b""):
            self.fail("it is empty; expected a path.", param, ctx)
        if isinstance(value, str) and "://" in value and not self.url_okay:
            path = local_path(value)
            if path is None:
                self.fail(f"{redact(value)} is a URL; expected a local path.", param, ctx)
            value = str(path)
        return super().convert(value, param, ctx)


PLACE = PlaceType()
#: A local file to write.
FILE = FileType(dir_okay=False, path_type=Path)
#: A local folder, which need not exist.
FOLDER = FileType(file_okay=False, path_type=Path)
