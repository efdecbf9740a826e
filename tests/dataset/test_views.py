"""View files: their headers and where they are found."""

from __future__ import annotations

import pytest

from registry.dataset.tables import FIELDS
from registry.dataset.views import load_views, parse_view, schemas_folder

SQL = """-- One row per a: of some kind.
-- key: split, image_id
-- source: items; with: a colon
-- num_items: Items of a.
SELECT 1 -- not a header
"""


def test_a_header_is_meaning_key_source_and_column_meanings() -> None:
    view = parse_view("mine", SQL)
    assert view.name == "mine"
    assert view.sql == SQL
    assert view.meaning == "One row per a: of some kind."
    assert view.key == ("split", "image_id")
    assert view.source == "items; with: a colon"
    assert view.column_meanings == {"num_items": "Items of a."}


def test_a_column_means_what_its_header_says_or_else_what_is_declared() -> None:
    view = parse_view("mine", SQL)
    assert view.column_meaning("num_items") == "Items of a."
    assert view.column_meaning("style") == FIELDS["style"].meaning
    with pytest.raises(KeyError):
        view.column_meaning("no_such_column")


def test_views_are_loaded_by_name_in_sorted_order() -> None:
    views = load_views()
    assert list(views) == sorted(views)
    for name, view in views.items():
        assert view.name == name
        assert view.sql == (schemas_folder() / "views" / f"{name}.sql").read_text(encoding="utf-8")
