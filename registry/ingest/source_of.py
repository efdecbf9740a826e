"""Files that name the source of images: user or shop."""

from __future__ import annotations

import csv
import io
from typing import Final

from registry.dataset.deepfashion2 import OTHER_SOURCES, SOURCES
from registry.dataset.image_names import read_image_name
from registry.errors import SourceError, UnknownNameError, UsageError
from registry.parsing.text import decode_text
from registry.sources.faults import MAX_LIST, Fault
from registry.sources.file_objects import read_file
from registry.sources.issues import summarise
from registry.storage.filesystems import StorageOptions

_SOURCES: Final = {**{source: source for source in SOURCES}, **dict(OTHER_SOURCES)}
#: First cells of a line that names the columns.
_HEADERS: Final = ("file_name", "image_id", "image", "file", "filename", "name")


def read_sources(path: str, split: str, options: StorageOptions | None = None) -> dict[int, str]:
    """Return image_id -> user or shop, from a file of lines ``000001.jpg,user``.

    Args:
        path: path or URL of the file, perhaps after an ``@``. A comma, tab, semicolon or space stands between the name
            or number of an image and its source; a first line may name the columns.
        split: images of other splits, by their names, are passed over.
        options: passed to fsspec.

    Raises:
        SourceError: the file cannot be read.
        UsageError: lines are not of this form; the message lists them together.
    """
    path = path.removeprefix("@")
    try:
        data = read_file(path, MAX_LIST, options)
    except FileNotFoundError as error:
        raise SourceError(f"{path} does not exist; expected lines such as 000001.jpg,user.") from error
    if isinstance(data, Fault):
        raise SourceError(f"{path}: {data}")
    try:
        text = decode_text(data)
    except ValueError as error:
        raise UsageError(f"{path} is no UTF-8 text: {error}") from error
    sources: dict[int, str] = {}
    problems = []
    for number, cells in _lines(text):
        place = f"{path}, line {number}"
        try:
            split_and_number = read_image_name(cells[0])
        except UnknownNameError:
            split_and_number = None
        source = _SOURCES.get(cells[-1].lower()) if len(cells) == 2 else None
        if split_and_number is None or source is None:
            if number > 1 or cells[0].lower() not in _HEADERS:
                problems.append(f"{place}: expected an image and user or shop, found {' '.join(cells)[:60]!r}")
        elif split_and_number[0] in (None, split):
            image_id = split_and_number[1]
            if sources.setdefault(image_id, source) != source:
                problems.append(f"{place}: image {image_id} is {source}, and {sources[image_id]} in an earlier line")
    if problems:
        raise UsageError(f"{path} does not name the source of images: {summarise(problems)}")
    return sources


def _lines(text: str) -> list[tuple[int, list[str]]]:
    """Return the number and the cells of each line that is not empty."""
    first = text.partition("\n")[0]
    delimiter = next((character for character in ",\t; " if character in first), ",")
    rows = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
    return [(rows.line_num, cells) for row in rows if (cells := [cell.strip() for cell in row if cell.strip()])]
