"""Finds export formats: built-in formats and formats registered by other packages."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Final

from registry.dataset.deepfashion2 import unknown_name
from registry.entry_points import entry_points
from registry.errors import MissingDependencyError, UsageError
from registry.exports.builtin import FORMATS
from registry.exports.format import Format

#: Entry points of this group add formats: ``my-format = "my_package.module:FORMAT"``.
ENTRY_POINTS: Final = "deepfashion2_registry.formats"


def format_names() -> list[str]:
    """Return the names of all formats: built-in formats in table order, then formats of other packages, sorted."""
    return [*FORMATS, *sorted(_registered())]


def find_format(name: str) -> Format:
    """Return the format of this name.

    Raises:
        UnknownNameError: there is no such format; the message lists all formats.
        MissingDependencyError: the package that registers the format cannot be imported.
        UsageError: the package registers something other than a Format.
    """
    if name in FORMATS:
        return FORMATS[name]
    registered = _registered()
    if name not in registered:
        raise unknown_name("format", name, format_names())
    try:
        loaded = registered[name].load()
    except (ImportError, AttributeError) as error:
        raise MissingDependencyError(
            f"The format {name} ({registered[name].value}) cannot be loaded: {error}"
        ) from error
    if not isinstance(loaded, Format):
        raise UsageError(f"The format {name} ({registered[name].value}) is no registry.exports.format.Format.")
    return loaded


def _registered() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINTS) if point.name not in FORMATS}
