"""YAML that people write (params.yaml) or that DVC wrote, read within bounds.

YAML can say a lot in a few bytes: aliases that multiply, brackets that nest, keys that are no text. Files of ours need
none of that, so what is beyond a bound is one error with the file and the place.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from registry.errors import RegistryError, UsageError

#: Bytes of a file.
MAX_BYTES: Final = 1 << 20
#: How deep lists and mappings may nest.
MAX_DEPTH: Final = 50
#: Values in all, those that aliases repeat counted each time.
MAX_VALUES: Final = 200_000


def load_yaml(path: Path) -> Any:
    """Return what a YAML file holds; keys are texts, each once in its mapping.

    Raises:
        FileNotFoundError: there is no such file.
        UsageError: it cannot be read, or is no YAML within the bounds; the message names the file and the place.
    """
    return parse_yaml(_read(path), str(path))


def parse_yaml(data: bytes, name: str, *, as_text: bool = False) -> Any:
    """Return what YAML holds; keys are texts, each once in its mapping.

    Args:
        data: the YAML.
        name: of the file, for messages.
        as_text: whether every scalar is returned as the text that it is.

    Raises:
        UsageError: it is no YAML within the bounds; the message names the file and the place.
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
    """YAML 1.2, as DVC reads it."""

    @staticmethod
    def _yaml() -> Any:
        from ruamel.yaml import YAML

        return YAML(typ="safe", pure=True)

    @classmethod
    def events(cls, data: bytes) -> Any:
        """Yield the events of parsing."""
        return cls._yaml().parse(data)

    @classmethod
    def tree(cls, data: bytes) -> Any:
        """Return the tree of nodes."""
        return cls._yaml().compose(data)

    @classmethod
    def load(cls, data: bytes) -> Any:
        """Return the values."""
        return cls._yaml().load(data)


class _FastText:
    """Every scalar as text; ten times as fast, for the files of a history."""

    @staticmethod
    def _loader() -> Any:
        import yaml  # type: ignore[import-untyped]

        return getattr(yaml, "CBaseLoader", yaml.BaseLoader)

    @classmethod
    def events(cls, data: bytes) -> Any:
        """Yield the events of parsing."""
        import yaml

        return yaml.parse(data, Loader=cls._loader())

    @classmethod
    def tree(cls, data: bytes) -> Any:
        """Return the tree of nodes."""
        import yaml

        return yaml.compose(data, Loader=cls._loader())

    @classmethod
    def load(cls, data: bytes) -> Any:
        """Return the values."""
        import yaml

        return yaml.load(data, Loader=cls._loader())


def _read(path: Path) -> bytes:
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
    """Refuse what nests too deeply before anything recurses into it."""
    depth = 0
    for event in events:
        kind = type(event).__name__
        depth += kind in ("SequenceStartEvent", "MappingStartEvent")
        depth -= kind in ("SequenceEndEvent", "MappingEndEvent")
        if depth > MAX_DEPTH:
            raise UsageError(f"{name}, {_place(event)}: expected at most {MAX_DEPTH} levels of nesting, found more.")


class _Checker:
    """Checks a tree of YAML nodes, as large as it is with every alias in its place.

    Args:
        name: of the file, for messages.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._num_values = 0
        self._above: set[int] = set()

    def check(self, node: Any) -> None:
        """Check a node and all below it.

        Raises:
            UsageError: there are too many values, an alias in itself, a key that is no text or stands twice.
        """
        if node is None:  # an empty file
            return
        self._num_values += 1
        if self._num_values > MAX_VALUES:
            self._refuse(node, f"expected at most {MAX_VALUES:,} values, aliases counted each time, found more")
        if node.id == "scalar":
            return
        if id(node) in self._above:
            self._refuse(node, "found an alias of what it stands in")
        self._above.add(id(node))
        if node.id == "mapping":
            self._check_keys(node)
        for value in (pair[1] for pair in node.value) if node.id == "mapping" else node.value:
            self.check(value)
        self._above.discard(id(node))

    def _check_keys(self, node: Any) -> None:
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
    return f"line {node.start_mark.line + 1}, column {node.start_mark.column + 1}"
