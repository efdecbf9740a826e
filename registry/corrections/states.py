"""Images with their items as JSON values of the annotation file: as a registry has them, and before its corrections."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import find_category
from registry.dataset.tables import BOX_COLUMNS
from registry.ingest.corrections import ADD, REMOVE
from registry.ingest.diagnose import IMAGE_FIELDS, ITEM_FIELDS
from registry.store.connection import duckdb_errors

if TYPE_CHECKING:
    from registry.store.registry import Registry

_ITEM_COLUMNS: Final = tuple(name for name in ITEM_FIELDS if name != "bounding_box")
#: Images that are read in a query.
_BATCH: Final = 20_000


@dataclass(slots=True)
class State:
    """An image and its items.

    Attributes:
        values: ``source`` and ``pair_id``.
        items: item_no -> the item as in the annotation file.
    """

    values: dict[str, Any]
    items: dict[int, dict[str, Any]] = field(default_factory=dict)

    def set(self, item_no: int | None, name: str, value: Any) -> None:
        """Set a field to a value; ``add`` and ``remove`` take the whole item as value, None takes the item away."""
        if item_no is None:
            self.values[name] = value
        elif name in (ADD, REMOVE):
            if value is None:
                self.items.pop(item_no, None)
            else:
                self.items[item_no] = value
        else:
            self.items[item_no] = with_value(self.items[item_no], name, value)

    def get(self, item_no: int | None, name: str) -> Any:
        """Return the value of a field."""
        if item_no is None:
            return self.values[name]
        return self.items[item_no]["category_name" if name == "category" else name]

    def copy(self) -> State:
        """Return an independent copy."""
        return copy.deepcopy(self)


def with_value(item: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """Return an item with another value; ``category`` stands for id and name."""
    if name == "category":
        return {**item, "category_id": find_category(value).id, "category_name": value}
    return {**item, name: value}


def read_states(registry: Registry, split: str, image_ids: Iterable[int]) -> dict[int, tuple[State, State]]:
    """Return image_id -> its state in a registry, and its state before the corrections that the registry applied.

    Images without annotations are left out.
    """
    states: dict[int, State] = {}
    raw: dict[int, State] = {}
    wanted = sorted(set(image_ids))
    for start in range(0, len(wanted), _BATCH):
        params = {"split": split, "ids": wanted[start : start + _BATCH]}
        condition = "split = $split AND list_contains($ids, image_id)"
        with duckdb_errors():
            images = registry.sql(
                f"SELECT image_id, source, pair_id FROM images WHERE {condition} AND num_items > 0", params
            )
            for image_id, source, pair_id in images.fetchall():
                states[image_id] = State({"source": source, "pair_id": pair_id})
            columns = ", ".join(("image_id", "item_no", *_ITEM_COLUMNS, *BOX_COLUMNS))
            query = f"SELECT {columns} FROM items WHERE {condition} ORDER BY image_id, item_order"
            for image_id, item_no, *values in registry.sql(query, params).fetchall():
                states[image_id].items[item_no] = _item(values)
            query = f"SELECT image_id, item_no, field, old FROM corrections WHERE {condition}"
            applied = registry.sql(query, params).fetchall()
        raw |= {image_id: states[image_id].copy() for image_id in params["ids"] if image_id in states}
        for image_id, item_no, name, old in applied:
            raw[image_id].set(item_no, name, None if old is None else json.loads(old))
    return {image_id: (state, raw[image_id]) for image_id, state in states.items()}


def _item(values: Sequence[Any]) -> dict[str, Any]:
    columns = dict(zip(_ITEM_COLUMNS, values, strict=False))
    columns["bounding_box"] = [plain(number) for number in values[len(_ITEM_COLUMNS) :]]
    if columns["segmentation"] is not None:
        columns["segmentation"] = [[plain(number) for number in polygon] for polygon in columns["segmentation"]]
    return {name: columns[name] for name in ITEM_FIELDS}


def plain(number: float) -> float | int:
    """Return a whole number as an integer, as annotation files mostly have it; -0.0 stays."""
    is_minus_zero = number == 0 and str(number).startswith("-")
    return number if is_minus_zero or int(number) != number else int(number)


def differences(old: State, new: State) -> list[tuple[int | None, str, Any, Any]]:
    """Return the corrections that lead from one state to another: item_no, field, old and new value."""
    rows: list[tuple[int | None, str, Any, Any]] = []
    for name in IMAGE_FIELDS:
        if old.values[name] != new.values[name]:
            rows.append((None, name, old.values[name], new.values[name]))
    for item_no in sorted(old.items.keys() | new.items.keys()):
        before, after = old.items.get(item_no), new.items.get(item_no)
        if before is None or after is None:
            rows.append((item_no, ADD if before is None else REMOVE, before, after))
            continue
        if before["category_id"] != after["category_id"]:
            rows.append((item_no, "category", before["category_name"], after["category_name"]))
        rows += [
            (item_no, name, before[name], after[name])
            for name in ITEM_FIELDS
            if not name.startswith("category") and before[name] != after[name]
        ]
    return rows
