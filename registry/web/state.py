"""The subset that an address asks for: ``/?category=skirt&occlusion=heavy`` has its options by their names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from registry.dataset.deepfashion2 import unknown_name
from registry.errors import UsageError
from registry.subset.options import OPTIONS, Subset

#: The parameter that names a subset of params.yaml, or :data:`START`.
SUBSET: Final = "subset"
#: Name of the subset that the command was started with, where its options cannot stand in an address.
START: Final = "start"
#: Characters of a query that the command writes; longer ones cannot be read.
_LONGEST: Final = 1500
#: Parameters that an address may have.
_PARAMETERS: Final = 300
#: Characters of a condition.
_CONDITION: Final = 8000
#: How an address says yes and no; a form sends "on".
_FLAGS: Final = {"1": True, "true": True, "on": True, "0": False, "false": False}
#: Options with several values without blanks in them, which a single parameter may have too: ``pair_id=7 9-12``.
_LISTED: Final = ("image_id", "pair_id", "style", "exclude_check")
#: Options whose choice depends on the whole subset: with one more option they do not choose among the same items.
OF_THE_WHOLE: Final = ("paired", "whole_images", "sample", "limit")
#: Options that are whole numbers.
_NUMBERS: Final = ("seed", "limit")


@dataclass(frozen=True)
class State:
    """The subset of an address.

    Attributes:
        subset: the images and items that the page is about.
        name: of a named subset that the options are added to; None without one.
        options: those of the address, as they stand in it.
        others: the other parameters of the address, which belong to the page.
        base: the named subset; everything without one.
    """

    subset: Subset
    name: str | None
    options: Mapping[str, tuple[str, ...]]
    others: Mapping[str, tuple[str, ...]]
    base: Subset = field(default_factory=Subset)

    @classmethod
    def of(cls, params: QueryParams, named: Mapping[str, Subset]) -> State:
        """Return the state of an address.

        Args:
            params: those of the address.
            named: the named subsets.

        Raises:
            UsageError: an option or value that does not exist, or a file to read.
        """
        parameters = params.multi_items()
        if len(parameters) > _PARAMETERS:
            raise UsageError(f"Expected an address with at most {_PARAMETERS} parameters, found {len(parameters):,}.")
        entries: dict[str, tuple[str, ...]] = {}
        for key, value in parameters:
            if value:
                entries[key] = (*entries.get(key, ()), value)
        # DuckDB takes long to parse a condition of thousands of ranges, and nothing ends it there.
        if any(len(_parts(values)) > _PARAMETERS for key, values in entries.items() if key in _LISTED):
            raise UsageError(f"Expected at most {_PARAMETERS} values of an option; a list of items may be longer.")
        # DuckDB's parser takes minutes for thousands of open brackets.
        if any(len(value) > _CONDITION or value.count("(") > _PARAMETERS for value in entries.get("where", ())):
            raise UsageError(f"where: expected at most {_CONDITION:,} characters and {_PARAMETERS} brackets.")
        options = {key: values for key, values in entries.items() if key in OPTIONS}
        others = {key: values for key, values in entries.items() if key not in OPTIONS}
        (name,) = others.pop(SUBSET, (None,))[-1:]
        if name is not None and name not in named:
            raise unknown_name("subset", name, list(named))
        subset = Subset.of_document({key: _value(key, values) for key, values in options.items()})
        base = named[name] if name is not None else Subset()
        if name is not None:
            # image_id may set the split too; and paired=0 replaces the value of the named subset.
            changed = {key for key in OPTIONS if getattr(subset, key) != OPTIONS[key].default}
            subset = replace(base, **{key: getattr(subset, key) for key in {*options, *changed}})
        return cls(subset, name, dict(sorted(options.items())), others, base)

    @property
    def of_the_whole(self) -> list[str]:
        """The options that are set of those that choose among the whole subset."""
        return [name for name in OF_THE_WHOLE if getattr(self.subset, name) != OPTIONS[name].default]

    def parameters(self) -> list[tuple[str, str]]:
        """Return the parameters of the subset, for the hidden fields of a form."""
        subset = [(SUBSET, self.name)] if self.name is not None else []
        return subset + [(name, value) for name, values in self.options.items() for value in values]

    def query(self, *, keep: Sequence[str] = (), **changes: Any) -> str:
        """Return the query of an address with the same subset.

        Args:
            keep: names of other parameters to keep.
            changes: options or other parameters to set: a text, a sequence, or None to remove it.

        Returns:
            ``?...``, or an empty text where there is nothing to say.
        """
        values: dict[str, Any] = {} if self.name is None else {SUBSET: self.name}
        values |= {**self.options, **{name: self.others[name] for name in keep if name in self.others}, **changes}
        written = [
            (key, str(value))
            for key, entry in values.items()
            if entry is not None
            for value in ([entry] if isinstance(entry, str | int | float) else entry)
        ]
        return f"?{urlencode(written)}" if written else ""


def start(subset: Subset, named: Mapping[str, Subset]) -> tuple[str, dict[str, Subset]]:
    """Return the query of an address with a subset, and the named subsets that it needs: its own is :data:`START`.

    Args:
        subset: of the command.
        named: the named subsets of the parameter file.
    """
    for name, entry in named.items():
        if subset == entry != Subset():
            return f"?{urlencode({SUBSET: name})}", dict(named)
    options = {
        name: [str(entry) for entry in value] if isinstance(value, list) else "1" if value is True else str(value)
        for name, value in subset.to_dict().items()
    }
    query = f"?{urlencode(options, doseq=True)}" if options else ""
    try:
        has_same = (
            subset.items is None and len(query) <= _LONGEST and State.of(QueryParams(query[1:]), {}).subset == subset
        )
    except UsageError:  # more parameters than an address may have
        has_same = False
    return (query, dict(named)) if has_same else (f"?{SUBSET}={START}", {**named, START: subset})


def place_of(state: State, name: str) -> list[Any] | None:
    """Return a place in an order, as a link gives it; None without it.

    Raises:
        UsageError: it cannot be read.
    """
    return read_place(state.others.get(name, ("",))[-1], name)


def read_place(text: str | None, name: str) -> list[Any] | None:
    """Return a place in an order from the text of a parameter; None without a text.

    Raises:
        UsageError: it cannot be read.
    """
    if not text:
        return None
    try:
        values = json.loads(text)
        json.dumps(values, ensure_ascii=False).encode()  # a half of a surrogate pair is no text
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, list) or not all(v is None or isinstance(v, int | float | str) for v in values):
        raise UsageError(f"{name}: expected a place in the order, as the links to other pages have it.")
    return values


def _value(name: str, values: tuple[str, ...]) -> Any:
    """Return the values of an option as they are read: a list, a text, a number or a flag."""
    option = OPTIONS[name]
    if option.default == ():
        return _parts(values) if name in _LISTED else list(values)
    if option.default is False:
        return _FLAGS.get(values[-1], values[-1])
    return int(values[-1]) if name in _NUMBERS and re.fullmatch(r"-?[0-9]{1,20}", values[-1]) else values[-1]


def _parts(values: Sequence[str]) -> list[str]:
    """Return values that are separated by blanks or commas."""
    return [part for value in values for part in value.replace(",", " ").split()]
