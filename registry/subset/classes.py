"""The classes of an export: the 13 categories, those that occur, or categories merged and named by the user.

``--classes`` of ``df2 export`` takes ``present``, a text such as ``tops=short sleeve top,long sleeve top;
bottoms=shorts,trousers``, or a file with the same as YAML, as JSON or in lines.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import CATEGORIES, CATEGORY_BY_ID, Category, find_category
from registry.errors import NotFoundError, UnknownNameError, UsageError
from registry.files.regular_files import read_regular, regular_size
from registry.parsing.text import ForeignEncodingError, decode_text
from registry.parsing.yaml_files import MAX_BYTES, parse_yaml
from registry.subset.values import as_list, shown_value

if TYPE_CHECKING:
    import pyarrow as pa

#: The choice of the categories that occur in the subset.
PRESENT: Final = "present"
#: What ``--classes`` chose: None for the 13 categories, ``present``, or the names of the categories of each class.
ClassChoice = str | dict[str, list[str]] | None

_EXAMPLE: Final = "tops=short sleeve top,long sleeve top; bottoms=shorts,trousers"
#: A class names folders, cells of CSV, lines of labelmap.txt and keys of YAML.
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 _-]{0,98}[A-Za-z0-9_-])?")
_NAME_RULE: Final = "ASCII letters, digits, spaces, _ and -, at most 100, and a letter or digit at the beginning"
#: Beginning of a file with lines such as ``tops=vest,sling``: a text without a colon or bracket before ``=``.
_LINES: Final = re.compile(r"(?:\s*#[^\n]*\n|\s*\n)*[^:={}\n]*=")


@dataclass(frozen=True, slots=True)
class Class:
    """A class of an export.

    Attributes:
        id: from 1, as in COCO; YOLO and class labels of Hugging Face count from 0.
        name: of the category, or of the user.
        coco_name: the name that the official COCO converter writes; that of the user for a class of the user.
        categories: whose items are in the class, in the order of the dataset.
    """

    id: int
    name: str
    coco_name: str
    categories: tuple[Category, ...]

    @property
    def category(self) -> Category | None:
        """The only category, whose landmarks the class has; None for a class that merges several."""
        return self.categories[0] if len(self.categories) == 1 else None

    @property
    def file_name(self) -> str:
        """The name for files and folders of the class."""
        return self.coco_name.replace(" ", "_")

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(category.name for category in self.categories)})"


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of an export, in order, with ids from 1 without gaps.

    Attributes:
        members: the classes.
        are_chosen: whether ``--classes`` is given.
    """

    members: tuple[Class, ...]
    are_chosen: bool = False

    @classmethod
    def of(cls, choice: ClassChoice = None, category_ids: Sequence[int] = ()) -> Classes:
        """Return the classes of a choice, as :func:`read_choice` returns it.

        Args:
            choice: the choice.
            category_ids: categories that occur in the subset, ascending, for ``present``.

        Raises:
            UsageError: the choice is ``present``, and no category occurs.
        """
        if isinstance(choice, dict):
            groups = [(name, name, tuple(map(find_category, names))) for name, names in choice.items()]
        else:
            categories = CATEGORIES if choice is None else [CATEGORY_BY_ID[number] for number in category_ids]
            groups = [(category.name, category.coco_name, (category,)) for category in categories]
        if not groups:
            raise UsageError("classes: present keeps the categories of the subset, which has no item: leave it out.")
        return cls(tuple(Class(k, *group) for k, group in enumerate(groups, 1)), choice is not None)

    def __iter__(self) -> Iterator[Class]:
        return iter(self.members)

    @property
    def merged(self) -> list[Class]:
        """The classes that merge several categories, so that their items have no landmarks in common."""
        return [member for member in self.members if member.category is None]

    def of_category(self, category_id: int) -> Class:
        """Return the class of a category; every category of the subset has one."""
        return self.members[self._ids()[category_id] - 1]

    def ids(self, category_ids: pa.Array) -> pa.Array:
        """Return the id of the class of each item as int32, from a column ``category_id``."""
        import pyarrow as pa

        of_category = self._ids()
        lookup = pa.array([of_category.get(number) for number in range(1 + len(CATEGORIES))], pa.int32())
        return lookup.take(category_ids.cast(pa.int32()))

    def names(self, category_ids: pa.Array) -> pa.Array:
        """Return the name of the class of each item, from a column ``category_id``."""
        import pyarrow as pa
        import pyarrow.compute as pc

        names = pa.array([member.name for member in self.members], pa.string())
        return names.take(pc.subtract(self.ids(category_ids), 1))

    def counts(self, items_of_category: Mapping[int, int]) -> dict[str, int]:
        """Return the number of items of each class, by name, from that of each category_id."""
        return {
            member.name: sum(items_of_category.get(category.id, 0) for category in member.categories)
            for member in self.members
        }

    def _ids(self) -> dict[int, int]:
        return {category.id: member.id for member in self.members for category in member.categories}


def categories_of(choice: ClassChoice) -> tuple[int, ...]:
    """Return the ids of the categories that are in a class, ascending; () if no category is left out."""
    if not isinstance(choice, dict):
        return ()
    category_ids = sorted(find_category(name).id for names in choice.values() for name in names)
    return tuple(category_ids) if len(category_ids) < len(CATEGORIES) else ()


def read_choice(value: Any) -> ClassChoice:
    """Return the choice of classes from ``present``, a text, a file, or a mapping of names to categories.

    Categories may be written by number, by name, or by the name of the COCO converter; the choice has the names of the
    dataset, in its order.

    Raises:
        UsageError: the text has problems; the message lists all of them.
        NotFoundError: there is no such file.
    """
    if value is None or value == PRESENT:
        return value  # type: ignore[no-any-return]  # None or a str
    if isinstance(value, os.PathLike) or (isinstance(value, str) and "=" not in value and value[:1] != "{"):
        return _read_file(Path(value))
    if isinstance(value, str):
        groups = parse_yaml(value.encode(), "classes") if value[:1] == "{" else _groups_of_text(value)
        return _checked(groups, "classes")
    return _checked(value, "classes")


def read_document(value: Any) -> ClassChoice:
    """Return the choice of classes in a document from elsewhere: as :func:`read_choice`, but no file is read.

    Raises:
        UsageError: as for :func:`read_choice`, and for any text but ``present``.
    """
    if value is None or value == PRESENT:
        return value  # type: ignore[no-any-return]  # None or a str
    return _checked(value, "classes")


def _read_file(path: Path) -> ClassChoice:
    try:
        if regular_size(path) > MAX_BYTES:
            raise UsageError(f"classes: {path} is too large: expected at most {MAX_BYTES:,} bytes.")
        text = decode_text(read_regular(path))
    except FileNotFoundError as error:
        raise NotFoundError(
            f"classes: there is no file {path}. Expected {PRESENT}, a file, or a text such as '{_EXAMPLE}'."
        ) from error
    except (OSError, ValueError, ForeignEncodingError) as error:  # ValueError: a NUL in the name, no UTF-8
        raise UsageError(f"classes: {path} cannot be read: {error}") from error
    groups = _groups_of_text(text) if _LINES.match(text) else parse_yaml(text.encode(), str(path))
    return _checked(groups, f"classes in {path}")


def _groups_of_text(text: str) -> list[tuple[str, Any]]:
    """Return name and categories of each ``NAME=CATEGORY,...`` between semicolons and line ends; None for no ``=``."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    entries = [entry for line in lines for entry in line.split(";") if entry.strip()]
    parts = (entry.partition("=") for entry in entries)
    return [(name.strip(), categories if equals else None) for name, equals, categories in parts]


def _checked(groups: Any, where: str) -> dict[str, list[str]]:
    """Return the categories of each class.

    Raises:
        UsageError: the classes have problems; the message lists all of them.
    """
    if not isinstance(groups, Mapping | list):
        expected = f"{PRESENT}, or classes such as '{_EXAMPLE}'"
        raise UsageError(f"{where}: expected {expected}, found {shown_value(groups)}.")
    problems: list[str] = []
    choice: dict[str, list[str]] = {}
    spelled: set[str] = set()
    class_of: dict[int, str] = {}
    for entry in groups.items() if isinstance(groups, Mapping) else groups:
        if not (isinstance(entry, tuple) and len(entry) == 2):
            problems.append(f"{shown_value(entry)}: expected a mapping of names to categories")
            continue
        name, value = entry
        shown = shown_value(name)
        if value is None:
            problems.append(f"{shown} has no category: expected NAME=CATEGORY,CATEGORY")
            continue
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            problems.append(f"{shown} cannot name a class: expected {_NAME_RULE}")
        key = str(name).replace(" ", "_").casefold()
        if key in spelled:
            problems.append(f"{shown} is named twice: expected every name once, in any case, _ and space alike")
        spelled.add(key)
        category_ids, unread = _read_categories(value)
        problems += [f"{shown}: {problem}" for problem in unread]
        for number in category_ids:
            if number in class_of:
                problems.append(
                    f"{CATEGORY_BY_ID[number].name!r} is in {class_of[number]} and in {shown}: expected it once"
                )
            class_of.setdefault(number, shown)
        if not category_ids and not unread:
            problems.append(f"{shown} has no category: expected at least one")
        choice[str(name)] = [CATEGORY_BY_ID[number].name for number in sorted(category_ids)]
    if not choice and not problems:
        problems.append(f"no class: expected such as '{_EXAMPLE}'")
    if len(problems) == 1:
        raise UsageError(f"{where}: {problems[0].removesuffix('.')}.")
    if problems:
        raise UsageError("\n".join([f"{where}: {len(problems)} problems.", *problems]))
    return choice


def _read_categories(value: Any) -> tuple[list[int], list[str]]:
    """Return the ids of categories in a list or in a text with commas, and the problems of those that are none."""
    category_ids, problems = [], []
    try:
        values = value.split(",") if isinstance(value, str) else as_list(value)
    except TypeError:
        return [], [f"expected a list of categories, found {shown_value(value)}"]
    for name in values:
        if isinstance(name, str) and not name.strip():
            continue
        try:
            category_ids.append(find_category(name).id)
        except UnknownNameError as error:
            problems.append(str(error))
    return category_ids, problems
