"""The global options: the registry, its git revision, how to reach it, and whether notes are printed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from registry.errors import UsageError
from registry.files.temporary import temporary
from registry.redaction import is_secret, printable
from registry.storage.filesystems import local_path

if TYPE_CHECKING:
    from registry.storage.place import Place
    from registry.store.registry import Registry

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass
class Places:
    """The values of the global options.

    Attributes:
        registry: folder or URL of the registry; with ``rev``, its path in the repository.
        rev: git revision, or None for the current registry.
        repo: path or URL of the repository of ``rev``; None for that of the working directory.
        cache: folder that keeps blocks read from remote registries, or None.
        storage_options: options of fsspec's file systems for all remote places.
        is_quiet: whether notes and progress are not shown.
    """

    registry: str
    rev: str | None = None
    repo: str | None = None
    cache: str | None = None
    storage_options: dict[str, Any] = field(default_factory=dict)
    is_quiet: bool = False

    def open(self, **options: Any) -> Registry:
        """Return the open registry.

        Args:
            options: ``memory`` and ``timeout`` of queries and ``tables`` of the user, as for :func:`registry.open`.
        """
        import registry

        if self.rev is None:
            _check_encoding(self.registry)
            return registry.open(self.registry, self.storage_options, repo=self.repo, cache=self.cache, **options)
        from registry.history.checkout import checkout

        return registry.open(
            str(checkout(self.rev, self.repo, self.registry, progress=note)), self.storage_options, **options
        )

    def place(self, url: str) -> Place:
        """Return the place at a URL."""
        from registry.storage.place import Place

        return Place(url, self.storage_options)

    def fetch_if_there(self, url: str, path: Path) -> None:
        """Copy the file at a URL to a local path; do nothing if no such file exists.

        Raises:
            StorageError: the file cannot be read.
        """
        folder, _, name = url.rpartition("/")
        place = self.place(folder)
        if place.exists(name):
            place.fetch(name, path)

    @contextmanager
    def local_file(self, url: str) -> Iterator[Path]:
        """Yield a local path for a file to write; for a URL, upload the file when the block ends.

        Raises:
            StorageError: the upload fails.
        """
        import tempfile

        if (path := local_path(url)) is not None:
            # Messages show the path as the user wrote it; pathlib would shorten ./~ to ~.
            yield path if "://" in url or "~" in url else Path(url)
            return
        folder, _, name = url.rpartition("/")
        place = self.place(folder)
        with tempfile.TemporaryDirectory(prefix="df2-") as folder_path, temporary(Path(folder_path)):
            yield Path(folder_path, name)
            place.put(Path(folder_path, name), name)


def _check_encoding(url: str) -> None:
    """Refuse a local registry whose path is not UTF-8, which DuckDB cannot open.

    Raises:
        UsageError: the path is not UTF-8.
    """
    path = local_path(url)
    try:
        str(path.absolute() if path is not None else url).encode()
    except UnicodeEncodeError:
        raise UsageError(f"The registry {printable(str(path))} has a path that is not UTF-8: move it.") from None


def is_quiet() -> bool:
    """Return whether the user asked for no progress and no notes (``df2 -q``)."""
    context = click.get_current_context(silent=True)
    return context is not None and isinstance(context.obj, Places) and context.obj.is_quiet


def note(line: str) -> None:
    """Print a line on standard error unless the user asked for none; warnings go through :func:`click.echo`."""
    if not is_quiet():
        click.echo(printable(line), err=True)


def storage_option(command: Command) -> Command:
    """Add ``--storage-option`` to a command; its values are added to :attr:`Places.storage_options`."""

    def keep(ctx: click.Context, param: click.Parameter, values: Iterable[str]) -> None:
        try:
            options = dict(_parse(value) for value in values)
        except UsageError as error:
            raise click.UsageError(str(error), ctx) from None
        if isinstance(ctx.obj, Places):
            ctx.obj.storage_options.update(options)
        else:
            ctx.meta["df2.storage_options"] = options

    return click.option(
        "--storage-option",
        metavar="KEY=VALUE",
        multiple=True,
        expose_value=False,
        callback=keep,
        help="Passed to the file system of remote places (endpoint_url=http://...). Repeatable. PROTOCOL:KEY=VALUE or "
        "URL:KEY=VALUE is for these alone. Secrets are better kept in the environment.",
    )(command)


def _parse(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        shown = f"{name}=..." if equals else "one without '='"  # the value may be a secret
        raise UsageError(f"Expected --storage-option KEY=VALUE, found {shown}.")
    try:
        # A secret of digits stays a text.
        return name, value if is_secret(name) and not value.startswith(("[", "{")) else json.loads(value)
    except RecursionError:
        raise UsageError(f"The value of --storage-option {name} is nested too deeply.") from None
    except ValueError:
        return name, value
