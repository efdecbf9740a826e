"""Named subsets, tables of the user, and the sources of the splits in a parameter file (params.yaml)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from registry.dataset.deepfashion2 import unknown_name
from registry.errors import NotFoundError, UsageError
from registry.parsing.yaml_files import load_yaml
from registry.subset.values import as_list


def load_params(path: Path) -> Any:
    """Return the document of a parameter file.

    Raises:
        FileNotFoundError: there is no such file.
        UsageError: it is no YAML within the bounds of :mod:`registry.parsing.yaml_files`.
    """
    return load_yaml(path)


def load_sources(params: str | Path = "params.yaml") -> dict[str, str]:
    """Return the place of the raw files of each split, from ``splits`` of a parameter file; empty without the file.

    Raises:
        UsageError: the file is no YAML.
    """
    path = Path(params)
    try:
        document = load_params(path)
    except FileNotFoundError:
        return {}
    splits = document.get("splits") if isinstance(document, dict) else None
    sources = {}
    for split, entry in (splits if isinstance(splits, dict) else {}).items():
        source = entry.get("source") if isinstance(entry, dict) else None
        if isinstance(source, str):
            sources[split] = source if "://" in source else str(path.parent / source)
    return sources


def load_subset(name: str, params: str | Path = "params.yaml") -> dict[str, Any]:
    """Return the options of a named subset: an entry below ``subsets`` of a parameter file.

    Raises:
        NotFoundError: there is no such file.
        UsageError: the file is no YAML, or there is no subset of this name; the message lists the names.
    """
    path = Path(params)
    try:
        document = load_params(path)
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no {path}: named subsets stand below 'subsets:' in it.") from error
    subsets = (document or {}).get("subsets") if isinstance(document, dict | None) else None
    if not isinstance(subsets, dict) or not subsets:
        raise UsageError(f"{path} names no subset: expected 'subsets:' with one entry a name.")
    if name not in subsets:
        raise unknown_name(f"subset in {path}", name, [str(key) for key in subsets])
    options = subsets[name]
    if not isinstance(options, dict | None):
        raise UsageError(f"{path}, subset {name}: expected options such as 'category: [skirt]', found {options!r}.")
    return dict(options or {})


def load_subsets(params: str | Path = "params.yaml") -> dict[str, dict[str, Any]]:
    """Return the options of all named subsets of a parameter file; empty without the file.

    Raises:
        UsageError: the file is no YAML, or a subset has no options.
    """
    try:
        document = load_params(Path(params))
    except FileNotFoundError:
        return {}
    subsets = document.get("subsets") if isinstance(document, dict) else None
    names = [name for name in subsets if isinstance(name, str)] if isinstance(subsets, dict) else []
    return {name: load_subset(name, params) for name in names}


def read_tables(values: Iterable[str], params: str | Path = "params.yaml") -> dict[str, str]:
    """Return the path or URL of each table: of ``NAME=FILE`` itself, of ``NAME`` from ``tables`` of a parameter file.

    A path in the file is relative to its folder.

    Raises:
        NotFoundError: there is no such file.
        UsageError: a value has no name, a name stands twice, or the file is no YAML or names no such table.
    """
    tables: dict[str, str] = {}
    for value in values:
        name, equals, place = value.partition("=")
        if not name or (equals and not place):
            raise UsageError(f"Expected --table NAME=FILE, or NAME of a table in {params}; found {value!r}.")
        if name in tables:
            raise UsageError(f"The table {name} is given twice.")
        tables[name] = place if equals else _table_of_params(name, Path(params))
    return tables


def tables_of_subset(values: Any, params: str | Path = "params.yaml") -> dict[str, str]:
    """Return the path or URL of each table that a named subset lists: ``NAME`` or ``NAME=FILE``.

    A path is relative to the folder of the parameter file.

    Raises:
        NotFoundError, UsageError: as :func:`read_tables`.
    """
    texts = [str(value) for value in as_list(values or [])]
    in_file = {name for name, equals, _ in (text.partition("=") for text in texts) if equals}
    folder = Path(params).parent
    return {
        name: str(folder / place) if name in in_file and "://" not in place else place
        for name, place in read_tables(texts, params).items()
    }


def _table_of_params(name: str, path: Path) -> str:
    try:
        document = load_params(path)
    except FileNotFoundError as error:
        raise NotFoundError(
            f"--table {name}: there is no {path}, whose 'tables:' would name its file. Or write {name}=FILE."
        ) from error
    tables = document.get("tables") if isinstance(document, dict) else None
    if not isinstance(tables, dict) or not tables:
        raise UsageError(f"{path} names no table: expected 'tables:' with a line {name}: FILE. Or write {name}=FILE.")
    if name not in tables:
        raise unknown_name(f"table in {path}", name, [str(key) for key in tables])
    place = tables[name]
    if not isinstance(place, str) or not place:
        raise UsageError(f"{path}, table {name}: expected a path or URL, found {place!r}.")
    return place if "://" in place else str(path.parent / place)
