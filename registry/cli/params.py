"""Values of ``--param NAME=VALUE``: a value that DuckDB would round or change is refused."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from registry.errors import UsageError
from registry.parsing.json_files import CutNumber, Duplicates, decode


def parse_params(params: Sequence[str]) -> dict[str, Any]:
    """Return the values of several ``NAME=VALUE`` by name.

    Raises:
        UsageError: a name repeats, or as :func:`parse_param`.
    """
    values: dict[str, Any] = {}
    for param in params:
        name, value = parse_param(param)
        if name in values:
            raise UsageError(f"--param {name} is given twice.")
        values[name] = value
    return values


def parse_param(param: str) -> tuple[str, Any]:
    """Return the name and the value of ``NAME=VALUE``; the value is JSON, or else a text.

    Raises:
        UsageError: the name is missing, or DuckDB would change the value when it is bound.
    """
    name, equals, text = param.partition("=")
    if not equals or not name.isidentifier():
        raise UsageError(f"Expected --param NAME=VALUE, found {param!r}.")
    try:
        value = decode(text)
        problem = next(_problems(value), None)
    except RecursionError:
        raise UsageError(f"The value of --param {name} is nested too deeply.") from None
    except ValueError:
        return name, text
    if problem is not None:
        raise UsageError(f"The value of --param {name} would not be bound as it stands: {problem}.")
    return name, value


def _problems(value: Any) -> Iterator[str]:
    """Yield the reasons why DuckDB would change a JSON value when it is bound."""
    if isinstance(value, CutNumber):
        yield f"no double holds {value.literal}; give a text, '\"{value.literal}\"', and CAST it in the SQL"
    elif isinstance(value, float) and not math.isfinite(value):
        yield "it has a number that is too large for a double"
    elif isinstance(value, Duplicates):
        yield from (f"the key {key!r} stands in it twice" for key in value.duplicates)
        for member in value.values():
            yield from _problems(member)
    elif isinstance(value, list):
        for member in value:
            yield from _problems(member)
        numbers = list(_numbers(value))
        if any(isinstance(number, float) for number in numbers):  # then DuckDB makes doubles of all
            cut = (number for number in numbers if isinstance(number, int) and not _is_double(number))
            yield from (f"beside decimals in a list, the integer {number} would become a double" for number in cut)


def _is_double(number: int) -> bool:
    try:
        return int(float(number)) == number
    except OverflowError:
        return False


def _numbers(value: Any) -> Iterator[int | float]:
    """Yield the numbers in a JSON value, nested ones too."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        yield value
    elif isinstance(value, dict | list):
        for member in value.values() if isinstance(value, dict) else value:
            yield from _numbers(member)
