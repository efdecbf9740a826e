"""Where things are: the options that say which registry, of which revision, reached how."""

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
    """What the global options say.

    Attributes:
        registry: folder or URL of the registry; with ``rev``, its path in the repository.
        rev: git revision, or None for the registry as it is now.
        repo: path or URL of the repository of ``rev``; None for that of the working directory.
        cache: folder that keeps what is read of remote registries, or None.
        storage_options: for every remote place.
        is_quiet: whether notes and progress are not shown.
    """

    registry: str
    rev: str | None = None
    repo: str | None = None
    cache: str | None = None
    storage_options: dict[str, Any] = field(default_factory=dict)
    is_quiet: bool = False

    def open(self, **limits: Any) -> Registry:
        """Return the registry, open.

        Args:
            limits: ``memory`` and ``timeout`` of its queries; see :func:`registry.open`.
        """
        import registry

        # Until registry.open() knows them, the limits are those of this process alone.
        known = {name: value for name, value in limits.items() if name in (registry.open.__kwdefaults__ or {})}
        if self.rev is None:
            _check_encoding(self.registry)
            return registry.open(self.registry, self.storage_options, repo=self.repo, cache=self.cache, **known)
        from registry.history.checkout import checkout

        return registry.open(str(checkout(self.rev, self.repo, self.registry, progress=note)), **known)

    def place(self, url: str) -> Place:
        """Return the place at a URL."""
        from registry.storage.place import Place

        return Place(url, self.storage_options)

    def fetch_if_there(self, url: str, path: Path) -> None:
        """Copy the file at a URL to a local path, if there is one.

        Raises:
            StorageError: it cannot be read.
        """
        folder, _, name = url.rpartition("/")
        place = self.place(folder)
        if place.exists(name):
            place.fetch(name, path)

    @contextmanager
    def local_file(self, url: str) -> Iterator[Path]:
        """Yield where to write a file that is to be at a path or URL; one for a URL is put there at the end.

        Raises:
            StorageError: it cannot be put there.
        """
        import tempfile

        if (path := local_path(url)) is not None:
            # Messages show it as it was written. (pathlib makes ./~ the same as ~.)
            yield path if "://" in url or "~" in url else Path(url)
            return
        folder, _, name = url.rpartition("/")
        place = self.place(folder)
        with tempfile.TemporaryDirectory(prefix="df2-") as made, temporary(Path(made)):
            yield Path(made, name)
            place.put(Path(made, name), name)


def _check_encoding(url: str) -> None:
    """Refuse a local registry below a folder whose name is not UTF-8, which DuckDB cannot open.

    Raises:
        UsageError: its path is not UTF-8.
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
    """Add ``--storage-option`` to a command; what it says goes into :class:`Places`, wherever it stands."""

    def keep(ctx: click.Context, param: click.Parameter, values: Iterable[str]) -> None:
        try:
            found = dict(_parse(value) for value in values)
        except UsageError as error:
            raise click.UsageError(str(error), ctx) from None
        if isinstance(ctx.obj, Places):
            ctx.obj.storage_options.update(found)
        else:
            ctx.meta["df2.storage_options"] = found

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
        # A password of digits is still a text.
        return name, value if is_secret(name) and not value.startswith(("[", "{")) else json.loads(value)
    except RecursionError:
        raise UsageError(f"The value of --storage-option {name} is nested too deeply.") from None
    except ValueError:
        return name, value
