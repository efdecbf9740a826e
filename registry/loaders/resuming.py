"""Whether a saved position belongs to the sampler or the shards that are to continue from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from registry.errors import UsageError


def check_settings(state: Mapping[str, Any], settings: Mapping[str, Any], owner: str) -> None:
    """Refuse a state whose ``settings`` differ from these; ``owner`` names whose settings they are.

    Raises:
        UsageError: some differ; the message names them with both values.
    """
    saved = state.get("settings", {})
    differences = [
        f"{name} is {value!r}, but {saved.get(name)!r} in the state"
        for name, value in settings.items()
        if saved.get(name) != value
    ]
    if differences:
        raise UsageError(f"The state is of {owner}: {'; '.join(differences)}.")
