"""The formats there are: the built-in formats, and those that other packages register."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points
from typing import Final

from registry.dataset.deepfashion2 import unknown_name
from registry.errors import MissingDependencyError, UsageError
from registry.exports.builtin import FORMATS
from registry.exports.format import Format

#: Entry points of this group add formats: ``my-format = "my_package.module:FORMAT"``.
ENTRY_POINTS: Final = "deepfashion2_registry.formats"


def format_names() -> list[str]:
    """Return the names of all formats: the built-in ones, then those of other packages, sorted."""
    return [*FORMATS, *sorted(_registered())]


def find_format(name: str) -> Format:
    """Return a format.

    Raises:
        UnknownNameError: there is none of this name; the message lists all.
        MissingDependencyError: the package that registers it cannot be imported.
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
