"""Files of corrections for tests."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any


def line(
    image_id: int, item_no: int | None, field: str, old: Any = None, new: Any = None, **keys: Any
) -> dict[str, Any]:
    """Return a line of a correction of train; ``keys`` replace or add keys."""
    values = {"split": "train", "image_id": image_id, "item_no": item_no, "field": field, "old": old, "new": new}
    return {**values, "who": "Ann", "why": "seen in the photo", **keys}


def write_corrections(folder: Path, lines: Iterable[Mapping[str, Any] | str], name: str = "train.jsonl") -> Path:
    """Write a file of corrections and return its folder."""
    folder.mkdir(exist_ok=True)
    texts = (text if isinstance(text, str) else json.dumps(text) for text in lines)
    (folder / name).write_text("".join(f"{text}\n" for text in texts))
    return folder
