"""Pages of rows in an order: by key, never by offset."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from registry.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.store.row_order import RowOrder

#: Above all values of the columns to sort by.
_LARGEST: Final = 1 << 60


@dataclass(frozen=True)
class Page:
    """Some rows in an order.

    Attributes:
        rows: the columns of the table, sorted.
        first, last: places in the order, which :meth:`registry.store.narrow_subset.Chosen.page` takes to go on from the
            first row backwards, and from the last one forwards; None where nothing is before or behind.
    """

    rows: pa.Table
    first: list[Any] | None
    last: list[Any] | None


def page_of(rows: pa.Table, names: Sequence[str], has_more: bool, backwards: bool, is_behind: bool) -> Page:
    """Return a page of rows.

    Args:
        rows: of the page, sorted, with ``split_no``.
        names: columns of a place in the order.
        has_more: whether there are more rows in the direction of reading.
        backwards: whether the rows were read from the last to the first.
        is_behind: whether the page begins behind another.
    """

    def values(position: int) -> list[Any]:
        return [rows.column(name)[position].as_py() for name in names]

    is_first, is_last = (not has_more, False) if backwards else (not is_behind, not has_more)
    has_rows = rows.num_rows > 0
    return Page(
        rows.drop_columns(["split_no"]),
        values(0) if has_rows and not is_first else None,
        values(rows.num_rows - 1) if has_rows and not is_last else None,
    )


def check_place(place: Sequence[Any], sorts: Sequence[str], key: Sequence[str]) -> None:
    """Check values of an order, which come from an address.

    Raises:
        UsageError: they are of other columns.
    """
    numbers = place[len(sorts) :]
    is_key = len(numbers) == len(key) and all(type(number) is int and 0 <= number < 1 << 31 for number in numbers)
    for value in place[: len(sorts)]:
        kinds = (str,) if sorts == ["source"] else (int, float)
        is_key &= value is None or (type(value) in kinds and (isinstance(value, str) or abs(value) < _LARGEST))
    if not is_key:
        raise UsageError(
            f"Expected a place in the order by {', '.join([*sorts, *key])}, found {str(list(place))[:80]}."
        )


def beyond(
    sort: str, place: Sequence[Any], order: RowOrder, descending: bool, backwards: bool
) -> tuple[str, dict[str, Any]]:
    """Return the condition on rows behind (or before) a place in an order, and the values of its parameters.

    Args:
        sort: the column to sort by; image_id stands for the key.
        place: the value of another column than image_id, then the key.
        order: of the rows by their keys.
        descending: whether the largest values are read first.
        backwards: whether the rows are read from the last to the first.
    """
    first = [] if sort == "image_id" else list(place[:1])
    before, up_to = order.bounds(place[len(first) :])
    params: dict[str, Any] = {}
    if descending if not first else backwards:
        beyond_key = "row_no < $row_no"
        params["row_no"] = before
    else:
        beyond_key = "row_no >= $row_no"
        params["row_no"] = up_to
    if not first:
        return beyond_key, params
    if first[0] is None:
        return f"(({sort} IS NULL AND {beyond_key})" + (f" OR {sort} IS NOT NULL)" if backwards else ")"), params
    params["sort"] = first[0]
    nulls = "" if backwards else f" OR {sort} IS NULL"
    return f"({sort} {'<' if descending else '>'} $sort{nulls} OR ({sort} = $sort AND {beyond_key}))", params
