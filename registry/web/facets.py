"""The options of a subset as people set them: values with their counts, fields of a form, and those that are set."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import ATTRIBUTE_CODES, CATEGORY_BY_ID
from registry.errors import UsageError
from registry.store.facet_counts import FACETS, IMAGE_FACETS
from registry.subset.options import OPTIONS, Subset
from registry.web.state import SUBSET

if TYPE_CHECKING:
    from registry.web.state import State

#: Options of the form, in its order, with an example of a value; those of the facets are set by their values.
_FIELDS: Final = {
    "image_id": "1-200 514", "pair_id": "7-9 100-", "style": "1-", "where": "x2 - x1 > 200", "min_box_area": "4096",
    "has_landmarks": "", "paired": "", "whole_images": "", "exclude_check": "degenerate-box", "sample": "10%",
    "seed": "0", "limit": "100",
}  # fmt: skip
#: Parameters beside the options that a form keeps.
_KEPT: Final = ("show", "sort")


@dataclass(frozen=True)
class Value:
    """A value of a facet.

    Attributes:
        text: its name, as an address has it too.
        number: of images or items.
        is_set: whether the subset asks for it.
        query: of the address with this value added, or removed where it is set; None where that cannot be.
    """

    text: str
    number: int
    is_set: bool
    query: str | None


@dataclass(frozen=True)
class Facet:
    """The values of an option.

    Attributes:
        option: its name.
        counts: ``images`` or ``items``.
        values: in the order of the data set.
    """

    option: str
    counts: str
    values: list[Value]


@dataclass(frozen=True)
class Field:
    """An option in a form.

    Attributes:
        name: of the option.
        help: a sentence.
        kind: ``flag`` or ``text``.
        value: as the address has it; several values are separated by blanks.
        example: of a value.
    """

    name: str
    help: str
    kind: str
    value: str
    example: str


@dataclass(frozen=True)
class Chip:
    """An option that is set, and the query of the address without it."""

    text: str
    query: str


def facets(counts: dict[str, dict[Any, int]], state: State) -> list[Facet]:
    """Return the options whose values are counted."""
    return [
        Facet(
            option,
            "images" if option in IMAGE_FACETS else "items",
            [
                _value(option, value, number, state)
                for value, number in values.items()
                if value is not None  # no option asks for unknown values
            ],
        )
        for option, values in counts.items()
    ]


def _value(option: str, value: Any, number: int, state: State) -> Value:
    text = _text(option, value)
    set_values = [_text(option, entry) for entry in getattr(state.subset, option)]
    # However the address writes the values that are set, the new one has their names.
    changed = [entry for entry in set_values if entry != text] if text in set_values else [*set_values, text]
    query = state.query(keep=_KEPT, **{option: changed or None}) if _can_be(option, changed, state) else None
    return Value(text, number, text in set_values, query)


def _can_be(option: str, values: list[str], state: State) -> bool:
    """Return whether an address with some values of an option asks for them, and for no value if there are none."""
    if not values and getattr(state.base, option):
        return False  # without a value in the address, that of the named subset holds
    if option != "split" or "image_id" not in state.options:
        return True
    try:  # names of files choose a split, and no other can be asked for
        chosen = Subset.of(
            image_id=" ".join(state.options["image_id"]).split(), **({"split": values} if values else {})
        )
    except UsageError:
        return False
    return len(chosen.split) == len(values)


def fields(state: State) -> list[Field]:
    """Return the other options, for a form."""
    return [
        Field(
            name,
            OPTIONS[name].help,
            "flag" if OPTIONS[name].default is False else "text",
            " ".join(state.options.get(name, ()))
            if OPTIONS[name].default == ()
            else state.options.get(name, ("",))[-1],
            example,
        )
        for name, example in _FIELDS.items()
    ]


def hidden(state: State) -> list[tuple[str, str]]:
    """Return the parameters that a form keeps: the values of the facets, and how the grid is shown."""
    parameters = {name: state.options[name] for name in FACETS if name in state.options}
    parameters |= {name: state.others[name][-1:] for name in _KEPT if name in state.others}
    return [(name, value) for name, values in parameters.items() for value in values]


def chips(state: State) -> list[Chip]:
    """Return the options that are set."""
    subset = [Chip(f"subset {state.name}", state.query(keep=_KEPT, **{SUBSET: None}))] if state.name else []
    return subset + [
        Chip(f"{name.replace('_', ' ')}: {', '.join(values)}", state.query(keep=_KEPT, **{name: None}))
        for name, values in state.options.items()
    ]


def _text(option: str, value: Any) -> str:
    """Return the name of a value, as an address has it too."""
    if option == "category":
        return CATEGORY_BY_ID[value].name
    return ATTRIBUTE_CODES[option].get(value, str(value)) if option in ATTRIBUTE_CODES else str(value)
