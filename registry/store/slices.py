"""Slices of rows: conditions on a column that divide the rows into parts of about the same size."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise


def quantiles_sql(column: str, number_of: int) -> str:
    """Return SQL for the values of a column between so many parts of about the same size; NULL without rows."""
    shares = [number / number_of for number in range(1, number_of)]
    return f"approx_quantile({column}, {shares}::FLOAT[])"


def conditions_between(column: str, bounds: Iterable[int]) -> list[str]:
    """Return conditions on a column, of which every number fits a single one; ``true`` without bounds."""
    ordered = sorted(set(bounds))
    if not ordered:
        return ["true"]
    between = [f"{column} > {low} AND {column} <= {high}" for low, high in pairwise(ordered)]
    return [f"{column} <= {ordered[0]}", *between, f"{column} > {ordered[-1]}"]
