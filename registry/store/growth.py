"""Bounds the memory and work of a condition on an item, before the condition runs.

DuckDB cannot be interrupted within a function call, and does not count the text and lists that a call creates: a
condition that doubles its value repeatedly would take all memory. So the size of every subexpression is estimated from
the sizes of its arguments, and its work from the number of evaluations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from registry.errors import UsageError

#: Bytes of a value; DuckDB holds the values of 2,048 items at a time.
_MOST_BYTES: Final = 1_000_000
#: Values, or pieces of 64 bytes of them, created for an item: a tenth of a second.
_MOST_WORK: Final = 20_000_000
_PIECE: Final = 64
#: Subexpressions visited; the body of a lambda counts at each visit.
_MOST_STEPS: Final = 20_000


@dataclass(frozen=True, slots=True)
class Shape:
    """Upper bounds of a value's size.

    Attributes:
        size: bytes of a number or a text.
        count: number of elements of a list.
        element: the largest element of a list.
        fields: the values of a struct.
    """

    size: int = 8
    count: int = 0
    element: Shape | None = None
    fields: Mapping[str, Shape] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Bytes of the whole value."""
        elements = self.count * self.element.total if self.element else 0
        return self.size + elements + sum(part.total for part in self.fields.values())

    def as_list(self) -> Shape:
        """Return the shape as a list; a cast may have turned another value into a list."""
        return self if self.element else Shape(count=self.total, element=Shape(self.total))

    def item(self) -> Shape:
        """Return the largest element of a list; the shape itself for other values."""
        return self.element or self


_NUMBER: Final = Shape()
_TEXT: Final = Shape(32)
#: Upper bounds for an item: 39 landmarks, and 8 polygons of 512 numbers.
_COLUMNS: Final = {
    "split": _TEXT,
    "source": _TEXT,
    "category_name": _TEXT,
    "landmarks": Shape(count=117, element=_NUMBER),
    "segmentation": Shape(count=8, element=Shape(count=512, element=_NUMBER)),
}
_TEXT_TYPES: Final = {"varchar", "char", "bpchar", "text", "string"}
_NUMBERS: Final = {
    *("len", "length", "strlen", "instr", "strpos", "position", "contains", "starts_with", "prefix", "suffix"),
    *(
        "ends_with",
        "list_sum",
        "list_avg",
        "list_count",
        "list_product",
        "list_position",
        "list_indexof",
        "list_unique",
    ),
    *("list_contains", "list_has", "list_has_all", "list_has_any", "list_bool_and", "list_bool_or"),
    *("regexp_matches", "regexp_full_match"),
}
_ELEMENTS: Final = {"list_extract", "list_element", "array_extract", "list_first", "list_last", "list_max", "list_min"}


def check_growth(condition: Any, own: Mapping[tuple[str, str], Shape] = {}) -> None:
    """Check that the values of a condition stay small.

    Args:
        condition: DuckDB's tree of an expression with allowed functions and types (:mod:`registry.store.conditions`).
        own: (table, column) of the user's tables, in lower case -> upper bounds of their values.

    Raises:
        UsageError: a value may become too large, or the work too much.
    """
    _Estimate(own).shape(condition, {}, 1)


class _Estimate:
    """Adds up the work of a condition while its tree is visited."""

    def __init__(self, own: Mapping[tuple[str, str], Shape]) -> None:
        self._own = own
        self._work = 0
        self._steps = 0

    def shape(self, node: Any, variables: Mapping[str, Shape], times: int) -> Shape:
        """Return the shape of a subexpression, and count the work of its evaluations.

        Args:
            node: the subexpression in DuckDB's tree.
            variables: shapes of the parameters of the lambdas around it.
            times: number of evaluations.
        """
        shape = self._shape(node, variables, times)
        self._steps += 1
        is_name = node is not None and node["class"] == "COLUMN_REF"  # a reference copies nothing
        self._count(times, 0 if is_name else shape.total)
        return shape

    def _count(self, times: int, size: int) -> None:
        """Count ``times`` values of ``size`` bytes; raise UsageError beyond the bounds."""
        self._work += times * (1 + size // _PIECE)
        if size > _MOST_BYTES or self._work > _MOST_WORK or self._steps > _MOST_STEPS:
            raise UsageError(
                "The condition may take too much memory or time on a single item: it doubles a value again and again, "
                "or goes through lists within lists. Expected one that looks at each landmark and polygon a few times."
            )

    def _shape(self, node: Any, variables: Mapping[str, Shape], times: int) -> Shape:  # noqa: PLR0911
        if node is None:
            return _NUMBER
        kind = node["class"]
        if kind == "COLUMN_REF":
            first, *rest = [name.lower() for name in node["column_names"]]
            if first in variables:
                shape = variables[first]
                for name in rest:
                    shape = shape.fields.get(name, shape)
                return shape
            if rest and (first, rest[0]) in self._own:
                return self._own[first, rest[0]]
            return _COLUMNS.get(rest[0] if rest else first, _NUMBER)
        if kind == "CONSTANT":
            return Shape(len(str(node.get("literal", {}).get("text", ""))) + 8)
        if kind == "CAST":
            return _cast(self.shape(node["child"], variables, times), node["type_expr"])
        if kind == "FUNCTION":
            arguments = [argument["expression"] for argument in node["arguments"]]
            name = node["qualified_name"]["path"][0].lower()
            if len(arguments) > 1 and arguments[1]["class"] == "LAMBDA":
                return self._lambda(name, arguments, variables, times)
            shapes = [self.shape(argument, variables, times) for argument in arguments]
            names = [argument.get("name") or f"{number}" for number, argument in enumerate(node["arguments"])]
            return _called(name, arguments, shapes, names)
        children = _children(node)
        shapes = [self.shape(child, variables, times) for child in children]
        if kind == "OPERATOR":
            return _called(node["type"].lower(), children, shapes, [])
        return _largest(shapes) if kind == "CASE" else _NUMBER

    def _lambda(self, name: str, arguments: Sequence[Any], variables: Mapping[str, Shape], times: int) -> Shape:
        values = self.shape(arguments[0], variables, times).as_list()
        lhs, body = arguments[1]["lhs"], arguments[1]["expr"]
        nodes = [lhs] if lhs["class"] == "COLUMN_REF" else [argument["expression"] for argument in lhs["arguments"]]
        names = [node["column_names"][0].lower() for node in nodes]
        if name != "list_reduce":
            bound = dict(zip(names, (values.item(), _NUMBER), strict=False))
            result = self.shape(body, {**variables, **bound}, times * values.count)
            return values if name == "list_filter" else Shape(count=values.count, element=result)
        reduced = values.item()
        if len(arguments) > 2:
            reduced = _largest([reduced, self.shape(arguments[2], variables, times)])
        for position in range(values.count):
            bound = dict(zip(names, (reduced, values.item(), _NUMBER), strict=False))
            larger = _largest([reduced, self.shape(body, {**variables, **bound}, times)])
            if larger == reduced:  # and so for all following elements
                self._count(times * (values.count - position), reduced.total)
                break
            reduced = larger
        return reduced


def _children(node: Mapping[str, Any]) -> list[Any]:
    """Return the direct subexpressions of a subexpression, in order."""
    children: list[Any] = []
    for value in node.values():
        for part in value if isinstance(value, list) else [value]:
            if isinstance(part, dict):
                children += [part] if "class" in part else _children(part)
    return children


def _largest(shapes: Sequence[Shape]) -> Shape:
    """Return a shape at least as large as all of these."""
    elements = [shape.element for shape in shapes if shape.element]
    names = {name: None for shape in shapes for name in shape.fields}
    return Shape(
        max((shape.size for shape in shapes), default=8),
        max((shape.count for shape in shapes), default=0),
        _largest(elements) if elements else None,
        {name: _largest([shape.fields[name] for shape in shapes if name in shape.fields]) for name in names},
    )


def _cast(shape: Shape, kind: Mapping[str, Any]) -> Shape:
    name = kind["qualified_name"]["path"][0].lower()
    if name in _TEXT_TYPES:
        return Shape(4 * shape.total)  # a number of 8 bytes has up to 24 digits
    return shape.as_list() if name == "list" else shape


def _called(name: str, nodes: Sequence[Any], shapes: Sequence[Shape], names: Sequence[str]) -> Shape:  # noqa: PLR0911, PLR0912
    """Return the shape of the result of a function or operator, by the shapes of its arguments."""
    size = sum(shape.total for shape in shapes)
    is_list = any(shape.element for shape in shapes)
    if name in _NUMBERS:
        return _NUMBER
    if name in ("||", "concat", "list_concat"):
        if not is_list:
            return Shape(4 * size if any(shape is _NUMBER for shape in shapes) else size)
        joined = _largest(shapes)
        return Shape(joined.size, sum(max(1, shape.count) for shape in shapes), joined.element, joined.fields)
    if name == "replace" and len(shapes) == 3:
        return Shape(
            shapes[0].total * max(1, shapes[2].total - 8 if nodes[2]["class"] == "CONSTANT" else shapes[2].total)
        )
    if name == "regexp_replace" and len(shapes) > 2:
        text = str(nodes[2].get("literal", {}).get("text", "")) if nodes[2]["class"] == "CONSTANT" else None
        length, groups = (len(text), text.count("\\")) if text is not None else (shapes[2].total, shapes[2].total)
        return Shape((shapes[0].total + 1) * (1 + length + groups))
    if name in ("list_value", "array_constructor"):
        return Shape(count=len(shapes), element=_largest(shapes))
    if name in ("row", "struct_pack"):
        return Shape(fields=dict(zip((key.lower() for key in names), shapes, strict=True)))
    if name == "list_zip":
        elements = {str(number): shape.as_list().item() for number, shape in enumerate(shapes)}
        return Shape(count=max(shape.as_list().count for shape in shapes), element=Shape(fields=elements))
    if name == "flatten" and shapes:
        outer = shapes[0].as_list()
        inner = outer.item().as_list()
        return Shape(count=outer.count * inner.count, element=inner.item())
    if name == "string_split" and shapes:
        return Shape(count=shapes[0].total + 1, element=Shape(shapes[0].total))
    if name in ("struct_extract", "array_extract") and shapes and shapes[0].fields:
        key = str(nodes[1].get("literal", {}).get("text", "")).lower() if nodes[1]["class"] == "CONSTANT" else ""
        return shapes[0].fields.get(key) or _largest(list(shapes[0].fields.values()))
    if name in _ELEMENTS and shapes:
        return shapes[0].item()
    if is_list or any(shape.fields for shape in shapes):
        return _largest(shapes)
    return Shape(size + 8)
