"""Parse YAML within bounds: params.yaml and the files of DVC.

A few bytes of YAML can expand to gigabytes (aliases), nest deeply, or have keys that are lists. The files here need
none of that, so a file beyond a bound is an error that names the file, line and column.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from registry.errors import RegistryError, UsageError

#: Maximum bytes of a file.
MAX_BYTES: Final = 1 << 20
#: Maximum nesting of lists and mappings.
MAX_DEPTH: Final = 50
#: Maximum number of values; values that aliases repeat are counted each time.
MAX_VALUES: Final = 200_000


def load_yaml(path: Path) -> Any:
    """Return the value of a YAML file; keys are strings, unique in their mapping.

    Raises:
        FileNotFoundError: the file does not exist.
        UsageError: the file cannot be read, is not YAML, or exceeds a bound; the message names file, line and column.
    """
    return parse_yaml(_read(path), str(path))


def parse_yaml(data: bytes, name: str, *, as_text: bool = False) -> Any:
    """Return the value of a YAML document; keys are strings, unique in their mapping.

    Args:
        data: the document.
        name: of the file in messages.
        as_text: return every scalar as a string, without conversion.

    Raises:
        UsageError: the document is not YAML, or exceeds a bound; the message names file, line and column.
    """
    if len(data) > MAX_BYTES:
        raise UsageError(f"{name} is too large: expected at most {MAX_BYTES:,} bytes.")
    engine = _FastText if as_text else _Typed
    try:
        _check_depth(engine.events(data), name)
        _Checker(name).check(engine.tree(data))
        return engine.load(data)
    except RegistryError:
        raise
    except Exception as error:
        raise UsageError(f"{name} is not sound YAML: {' '.join(str(error).split())}") from error


class _Typed:
    """ruamel.yaml: YAML 1.2, as DVC reads it."""

    @staticmethod
    def _yaml() -> Any:
        from ruamel.yaml import YAML

        return YAML(typ="safe", pure=True)

    @classmethod
    def events(cls, data: bytes) -> Any:
        """Yield the parser's events."""
        return cls._yaml().parse(data)

    @classmethod
    def tree(cls, data: bytes) -> Any:
        """Return the root node, or None for an empty document."""
        return cls._yaml().compose(data)

    @classmethod
    def load(cls, data: bytes) -> Any:
        """Return the value of the document."""
        return cls._yaml().load(data)


class _FastText:
    """PyYAML with every scalar as a string; ten times as fast, for the files of many commits."""

    @staticmethod
    def _loader() -> Any:
        import yaml  # type: ignore[import-untyped]

        return getattr(yaml, "CBaseLoader", yaml.BaseLoader)

    @classmethod
    def events(cls, data: bytes) -> Any:
        """Yield the parser's events."""
        import yaml

        return yaml.parse(data, Loader=cls._loader())

    @classmethod
    def tree(cls, data: bytes) -> Any:
        """Return the root node, or None for an empty document."""
        import yaml

        return yaml.compose(data, Loader=cls._loader())

    @classmethod
    def load(cls, data: bytes) -> Any:
        """Return the value of the document."""
        import yaml

        return yaml.load(data, Loader=cls._loader())


def _read(path: Path) -> bytes:
    """Return the bytes of a file, up to the maximum plus one byte, which tells that the file is too large."""
    try:
        if path.exists() and not path.is_file():
            raise UsageError(f"{path} is no file: expected YAML.")
        with open(path, "rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UsageError(f"Cannot read {path}: {error.strerror}") from error


def _check_depth(events: Any, name: str) -> None:
    """Refuse deep nesting, before any recursive function sees the document."""
    depth = 0
    for event in events:
        kind = type(event).__name__
        depth += kind in ("SequenceStartEvent", "MappingStartEvent")
        depth -= kind in ("SequenceEndEvent", "MappingEndEvent")
        if depth > MAX_DEPTH:
            raise UsageError(f"{name}, {_place(event)}: expected at most {MAX_DEPTH} levels of nesting, found more.")


class _Checker:
    """Checks a tree of YAML nodes, with aliases expanded.

    Args:
        name: of the file in messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._num_values = 0
        self._above: set[int] = set()

    def check(self, node: Any) -> None:
        """Check a node and its descendants.

        Raises:
            UsageError: there are too many values, an alias of its own parent, or a key that is repeated or no string.
        """
        if node is None:  # an empty document
            return
        self._num_values += 1
        if self._num_values > MAX_VALUES:
            self._refuse(node, f"expected at most {MAX_VALUES:,} values, aliases counted each time, found more")
        if node.id == "scalar":
            return
        if id(node) in self._above:
            self._refuse(node, "found an alias of a list or mapping inside itself")
        self._above.add(id(node))
        if node.id == "mapping":
            self._check_keys(node)
        for value in (pair[1] for pair in node.value) if node.id == "mapping" else node.value:
            self.check(value)
        self._above.discard(id(node))

    def _check_keys(self, node: Any) -> None:
        """Refuse keys of a mapping that are repeated or no strings."""
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.tag).endswith(":merge"):
                continue
            if key.id != "scalar" or not str(key.tag).endswith(":str"):
                shown = repr(key.value) if key.id == "scalar" else "a list or mapping"
                self._refuse(key, f"expected a key that is text, found {shown}; write it in quotes")
            if key.value in seen:
                self._refuse(key, f"the key {key.value!r} stands twice; expected it once")
            seen.add(key.value)

    def _refuse(self, node: Any, text: str) -> None:
        raise UsageError(f"{self._name}, {_place(node)}: {text}.")


def _place(node: Any) -> str:
    """Return the position of a node or event in its file."""
    return f"line {node.start_mark.line + 1}, column {node.start_mark.column + 1}"
