"""Open Metric Learning's rules for a CSV of image retrieval, reimplemented to test without the library and torch.

Besides the rules of its checker, these mistakes of data that its readers accept fail here, with file and row: an empty
box; an empty sequence (rows of the same sequence are never matched); a label with two categories (the reader keeps
either).

Source: ``check_retrieval_dataframe_format`` in oml/utils/dataframe_format.py, oml/datasets/images.py and dataframe.py,
oml/functional/knn.py, as of 4.0.0.
"""

from __future__ import annotations

import csv
from pathlib import Path

REQUIRED = ("label", "path", "split", "is_query", "is_gallery")
BOX = ("x_1", "y_1", "x_2", "y_2")
TRUTH = {"True": True, "False": False}


def check_csv(path: Path, root: Path | None = None) -> None:
    """Check a CSV for Open Metric Learning.

    Args:
        path: the file, with commas and a header.
        root: folder that photo paths are relative to; None skips the check that photos exist.

    Raises:
        AssertionError: a rule is broken; the message begins with the file and, for a row, its line.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, strict=True)
        columns = reader.fieldnames or ()
        rows = [(f"{path}:{reader.line_num}", row) for row in reader]
    for column in REQUIRED:
        assert column in columns, f"{path}: no column {column}"
    assert len(set(columns)) == len(columns), f"{path}: a column occurs twice"
    box = [column for column in BOX if column in columns]
    assert len(box) in {0, 4}, f"{path}: of the box there are only {box}"
    # Without a row pandas cannot know that labels are whole numbers.
    assert rows, f"{path}: no rows"

    queries: dict[str, str] = {}
    gallery: set[str] = set()
    categories: dict[str, str] = {}
    for where, row in rows:
        assert None not in row and None not in row.values(), f"{where}: not as many fields as columns"
        label = row["label"]
        assert label.removeprefix("-").isdecimal(), f"{where}: label {label} is not a whole number"
        assert row["path"], f"{where}: no path"
        assert root is None or (root / row["path"]).is_file(), f"{where}: no photo {root}/{row['path']}"
        if box:
            _check_box(where, [row[column] for column in BOX])
        if "category" in row:
            other = categories.setdefault(label, row["category"])
            assert other == row["category"], f"{where}: label {label} is {row['category']} and {other}"

        roles = (row["is_query"], row["is_gallery"])
        if row["split"] == "train":
            assert roles == ("", ""), f"{where}: is_query and is_gallery of train are empty, not {roles}"
            continue
        assert row["split"] == "validation", f"{where}: split {row['split']} is neither train nor validation"
        assert all(role in TRUTH for role in roles), f"{where}: is_query and is_gallery are True or False, not {roles}"
        assert "True" in roles, f"{where}: neither query nor gallery"
        assert row.get("sequence") != "", f"{where}: no sequence"
        if TRUTH[row["is_query"]]:
            queries.setdefault(label, where)
        if TRUTH[row["is_gallery"]]:
            gallery.add(label)
    for label, where in queries.items():
        assert label in gallery, f"{where}: query of label {label}, which the gallery does not have"


def _check_box(where: str, values: list[str]) -> None:
    assert all(value.isdecimal() for value in values), f"{where}: box {values} is not four whole numbers from 0"
    x1, y1, x2, y2 = map(int, values)
    assert x1 < x2, f"{where}: x_1 {x1} is not left of x_2 {x2}"
    assert y1 < y2, f"{where}: y_1 {y1} is not above y_2 {y2}"
