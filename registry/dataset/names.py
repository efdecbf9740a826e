"""Types and parsers for names and numbers from outside: manifests, DVC files, listings and cells of tables.

A document is parsed once, into types that cannot hold a bad value, so that no later code checks a path again. The types
are msgspec's: a pattern or range, and a description for messages. Rules over several fields are checked in
``__post_init__`` of the document's struct.

Unknown keys at the top of a document are ignored, since a later release may add a key that changes nothing else.
Unknown keys in the entry of a file are errors, since they may change the meaning of the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from registry.dataset.deepfashion2 import CATEGORIES, SPLITS
from registry.dataset.tables import TABLES
from registry.errors import RegistryFormatError
from registry.parsing.json_files import REPEATED, check_keys, decode, repeated_keys
from registry.parsing.text import check_encoding, without_mark

T = TypeVar("T", bound=msgspec.Struct)
_Place = tuple[str, ...]
#: Keys and positions that lead to a value, and the text of the problem.
_Problem = tuple[_Place, str]

#: Separators of any system, control characters, line separators, and halves of surrogate pairs.
_REFUSED: Final = r"/\\\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff"
#: A part of a path: neither . nor ..
_PART: Final = rf"(?!\.\.?(?:/|\Z))[^{_REFUSED}]{{1,255}}"
#: C:x leads to another drive on Windows; %2e is a dot for web servers and their clients.
_NOT: Final = r"(?![A-Za-z]:|.*%[0-9A-Fa-f]{2})"
_PATH: Final = rf"\A{_NOT}{_PART}(?:/{_PART})*\Z"
_LONGEST_PATH: Final = 1024

RelativePath = Annotated[
    str,
    Meta(pattern=_PATH, max_length=_LONGEST_PATH, description="a relative path such as a/b.json that stays inside"),
]
FileName = Annotated[
    str, Meta(pattern=rf"\A(?!\.){_NOT}{_PART}\Z", max_length=255, description="a file name, without a folder")
]
Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z", description="64 hex digits")]
#: Texts for messages: no line breaks, no control characters.
ShortText = Annotated[
    str,
    Meta(
        pattern=r"\A[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]*\Z",
        max_length=1000,
        description="a short text in one line",
    ),
]
TableName = Annotated[str, Meta(pattern=rf"\A(?:{'|'.join(TABLES)})\Z", description=f"one of {', '.join(TABLES)}")]
SplitName = Annotated[str, Meta(pattern=rf"\A(?:{'|'.join(SPLITS)})\Z", description=f"one of {', '.join(SPLITS)}")]
#: Numbers of rows and bytes: below 2^53, where a double is exact.
Count = Annotated[int, Meta(ge=0, lt=2**53, description="a whole number from 0 to 2^53 - 1")]
Version = Annotated[int, Meta(ge=1, lt=2**31, description="a whole number from 1 on")]
Base64 = Annotated[
    str, Meta(pattern=r"\A(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==|[A-Za-z0-9+/]=))?\Z", description="base64")
]

#: Values that a partition column has in folder names.
_PARTITION_VALUES: Final = {
    "split": "|".join(SPLITS),
    "category_id": "|".join(str(category.id) for category in CATEGORIES),
    "model": "[A-Za-z0-9][A-Za-z0-9._-]{0,62}",
}
#: Problems that a message lists.
_MOST_LISTED: Final = 20
_SHOWN: Final = 60
#: Names in messages of types without a description.
_KINDS: Final[dict[Any, str]] = {bool: "true or false", int: "a whole number", str: "a text"}
_AT: Final = re.compile(r" - at `[^`]*`\Z")


def is_relative_path(path: str) -> bool:
    """Return whether a path is a :data:`RelativePath`: below any folder it is joined to, on every system."""
    return len(path) <= _LONGEST_PATH and _path_pattern().match(path) is not None


def leading_out(paths: Sequence[str]) -> list[str]:
    """Return the paths that are no :data:`RelativePath`; fast for hundreds of thousands of paths."""
    joined = f"/{'/'.join(paths)}/"
    is_plain = joined.isascii() and joined.isprintable()
    if is_plain and not any(text in joined for text in ("\\", "%", ":", "//", "/./", "/../")):
        return [path for path in paths if len(path) > 255 and not is_relative_path(path)]
    return [path for path in paths if not is_relative_path(path)]


def is_data_path(path: str) -> bool:
    """Return whether a path is that of a registry's data file.

    It consists of the table's folder, its partitions in order with existing values, and 16 hex digits:
    ``items/split=train/category_id=9/0123456789abcdef.parquet``.
    """
    return _data_pattern().match(path) is not None


def is_partition_value(column: str, value: str) -> bool:
    """Return whether a partition column has a value in folder names."""
    return re.fullmatch(_PARTITION_VALUES[column], value, re.ASCII) is not None


@lru_cache
def _path_pattern() -> re.Pattern[str]:
    return re.compile(_PATH)


@lru_cache
def _data_pattern() -> re.Pattern[str]:
    folders = (
        table.name + "".join(f"/{name}=(?:{_PARTITION_VALUES[name]})" for name in table.partition)
        for table in TABLES.values()
    )
    return re.compile(rf"\A(?:{'|'.join(folders)})/[0-9a-f]{{16}}\.parquet\Z", re.ASCII)


def parse_json(
    data: bytes,
    kind: type[T],
    where: str,
    expected: str,
    version: str,
    newest: int,
    careful: type[msgspec.Struct] | None = None,
) -> T:
    """Return a JSON document as a struct.

    Args:
        data: the text.
        kind: the struct.
        where: path or URL of the document, for messages.
        expected: kind of document, for messages, such as "a manifest of a registry".
        version: key of the document's version.
        newest: newest version that this program reads.
        careful: a struct that accepts the same documents and has all checks, to list the problems of a bad document;
            without it, ``kind``.

    Raises:
        RegistryFormatError: the document is of a later version, or has problems; the message lists all of them with
            their places.
    """
    data = without_mark(data)
    try:
        check_encoding(data)
        document = msgspec.json.decode(data, type=kind)
        check_keys(data)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise RegistryFormatError(_explain(data, careful or kind, where, expected, version, newest, error)) from error
    document_version = getattr(document, version)
    if document_version > newest:
        raise RegistryFormatError(_too_new(where, version, document_version, newest))
    return document


def shown(value: Any) -> str:
    """Return a value for a message: short, in one line, and in ASCII."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if value is None:
        return "null"
    text = ascii(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _explain(
    data: bytes, kind: type[msgspec.Struct], where: str, expected: str, version: str, newest: int, error: Exception
) -> str:
    """Return the message for a text that is not such a document."""
    try:
        check_encoding(data)
        document = msgspec.json.decode(data)
        repeated = [(tuple(map(_key, place)), REPEATED) for place in repeated_keys(decode(data.decode("utf-8")))]
    except RecursionError:
        return f"{where} is not {expected}: it is nested too deeply."
    except (msgspec.MsgspecError, ValueError) as malformed:
        return f"{where} is not {expected}: {malformed}"
    document_version = document.get(version) if isinstance(document, dict) else None
    if type(document_version) is int and document_version > newest:
        return _too_new(where, version, document_version, newest)
    return _listed(repeated or _problems_or(document, kind, error), where, expected)


def _too_new(where: str, version: str, number: int, newest: int) -> str:
    name = version.replace("_", " ")
    return f"{where} has {name} {number}, this program reads up to {newest}: upgrade it."


def _problems_or(document: Any, kind: type[msgspec.Struct], error: Exception) -> list[_Problem]:
    """Return all problems of a document, or the parser's error if the second pass finds none."""
    try:
        return list(_problems(document, kind, ())) or [((), str(error))]
    except RecursionError:
        return [((), "it is nested too deeply")]


def _listed(problems: list[_Problem], where: str, expected: str) -> str:
    name = where.rstrip("/").rpartition("/")[2]
    lines = [f"{' > '.join((name, *place))}: {text}" for place, text in problems[:_MOST_LISTED]]
    if len(problems) > _MOST_LISTED:
        lines.append(f"... and {len(problems) - _MOST_LISTED:,} more")
    return "\n".join([f"{where} is not {expected}:", *lines])


def _problems(value: Any, kind: Any, place: _Place) -> Iterator[_Problem]:
    """Yield the problems of a value that is expected to be of a type, with their places."""
    origin, arguments = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        yield from _struct_problems(value, kind, place)
    elif origin is list and isinstance(value, list):
        for position, entry in enumerate(value):
            yield from _problems(entry, arguments[0], (*place, str(position)))
    elif origin is dict and isinstance(value, Mapping):
        for key, entry in value.items():
            yield from ((at, f"as a key: {text}") for at, text in _problems(key, arguments[0], place))
            yield from _problems(entry, arguments[1], (*place, _key(key)))
    elif origin in (list, dict):
        yield place, f"expected {'a list' if origin is list else 'an object'}, found {shown(value)}"
    elif (struct := _optional_struct(kind)) is not None:
        if value is not None:
            yield from _problems(value, struct, place)
    else:
        try:
            msgspec.convert(value, kind)
        except (msgspec.MsgspecError, ValueError) as error:
            description = _description(kind)
            yield place, f"expected {description}, found {shown(value)}" if description else _message(error)


def _struct_problems(value: Any, kind: type[msgspec.Struct], place: _Place) -> Iterator[_Problem]:
    if not isinstance(value, Mapping):
        yield place, f"expected an object, found {shown(value)}"
        return
    problems: list[_Problem] = []
    hints = get_type_hints(kind, include_extras=True)
    names = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    for name, field in names.items():
        if name in value:
            problems += _problems(value[name], hints[field.name], (*place, name))
        elif field.required:
            problems.append(((*place, name), "missing"))
    if kind.__struct_config__.forbid_unknown_fields:
        problems += [((*place, _key(key)), "unknown key") for key in value if key not in names]
    if not problems:  # then only rules over several fields can be broken
        try:
            msgspec.convert(value, kind)
        except (msgspec.MsgspecError, ValueError) as error:
            problems += [(place, line) for line in _message(error).split("\n")]
    yield from problems


def _message(error: Exception) -> str:
    return _AT.sub("", str(error))


def _key(key: object) -> str:
    text = str(key)
    return text if text.isprintable() and text.isascii() and 0 < len(text) <= _SHOWN else shown(text)


def _optional_struct(kind: Any) -> type[msgspec.Struct] | None:
    """Return the struct of a ``Struct | None``, or None for another kind."""
    structs = [part for part in get_args(kind) if isinstance(part, type) and issubclass(part, msgspec.Struct)]
    return structs[0] if structs and get_origin(kind) in (Union, UnionType) else None


def _description(kind: Any) -> str | None:
    """Return the description of a type, or None."""
    for meta in getattr(kind, "__metadata__", ()):
        if isinstance(meta, Meta) and meta.description:
            return meta.description
    if kind in _KINDS:
        return _KINDS[kind]
    inner = [_description(part) for part in get_args(kind) if part is not NoneType]
    null = " or null" if NoneType in get_args(kind) else ""
    return f"{inner[0]}{null}" if inner and inner[0] else None
