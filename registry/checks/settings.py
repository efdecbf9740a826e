"""The entry ``checks`` of a parameter file: limits, and folders of the user's checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry.checks.accepted import ACCEPTED_FILE
from registry.errors import UsageError
from registry.subset.params import load_params
from registry.subset.values import shown_value


@dataclass(frozen=True, slots=True)
class CheckSettings:
    """The settings of a run.

    Attributes:
        limits: name of a check -> the most rows that it may have; a check without a limit always passes.
        folders: of the user's checks.
        accepted: the file of accepted exceptions, which need not exist; None for none.
        place: of the settings, for messages.
    """

    limits: Mapping[str, int] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()
    accepted: Path | None = None
    place: str = "limits"


def load_check_settings(params: str | Path = "params.yaml") -> CheckSettings:
    """Return the settings below ``checks`` of a parameter file, with the accepted exceptions beside it.

    Folders are relative to that of the file, which need not exist.

    Raises:
        UsageError: the file is no YAML, or says something else.
    """
    path = Path(params)
    place = f"{path}, checks"
    accepted = path.parent / ACCEPTED_FILE
    try:
        document = load_params(path)
    except FileNotFoundError:
        return CheckSettings(accepted=accepted, place=place)
    if not isinstance(document, dict | None):
        raise UsageError(f"{path}: expected keys such as 'checks:', found {shown_value(document)}.")
    entry = _given(document or {}, "checks", {})
    if not isinstance(entry, dict):
        raise UsageError(f"{place}: expected 'limits:' and 'folders:', found {shown_value(entry)}.")
    unknown = sorted(set(entry) - {"limits", "folders"})
    if unknown:
        raise UsageError(f"{place}: expected limits and folders, found {', '.join(map(str, unknown))}.")
    limits, folders = _given(entry, "limits", {}), _given(entry, "folders", [])
    if not isinstance(limits, dict):
        raise UsageError(f"{place}, limits: expected lines such as 'degenerate-box: 0', found {shown_value(limits)}.")
    for name, limit in limits.items():
        if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
            raise UsageError(f"{place}, limits, {name}: expected a number of rows, found {shown_value(limit)}.")
    if not isinstance(folders, list) or not all(isinstance(folder, str) for folder in folders):
        raise UsageError(f"{place}, folders: expected a list such as [checks], found {shown_value(folders)}.")
    return CheckSettings(limits, tuple(path.parent / folder for folder in folders), accepted, place)


def _given(mapping: Mapping[str, Any], key: str, default: Any) -> Any:
    """Return the value of a key, or a default where it is absent or empty."""
    value = mapping.get(key)
    return default if value is None else value
