"""Rows with thumbnails in notebooks, and pictures from Python."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import pytest
from IPython.core.formatters import DisplayFormatter
from PIL import Image

import registry
from registry.store.registry import Registry
from tests.sources.packing import files_in, write_zipcrypto


@pytest.fixture
def with_photos(registry_folder: Path, release: Path) -> Registry:
    """Return a registry that was opened with photos."""
    return registry.open(str(registry_folder), photos=str(release))


def pictures(html: str) -> list[Image.Image]:
    """Return the pictures in HTML."""
    data = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', html)
    assert html.count("<img") == len(data)
    return [Image.open(io.BytesIO(base64.b64decode(text))) for text in data]


def test_images_items_pairs_and_selections_have_thumbnails(with_photos: Registry) -> None:
    assert [p.size for p in pictures(with_photos.image("train", 1)._repr_html_())] == [(200, 300)]
    assert len(pictures(with_photos.style("train", 1, 1)._repr_html_())) == 4
    assert len(pictures(with_photos.pairs(split="validation")._repr_html_())) == 2
    assert len(pictures(with_photos.select(category="skirt")._repr_html_())) == 1


def test_the_rows_of_a_check_have_thumbnails(with_photos: Registry) -> None:
    run = registry.check(with_photos)
    assert len(pictures(run.rows("degenerate-box")._repr_html_())) == 1
    assert len(pictures(run.rows("orphan-identity")._repr_html_())) == 1


def test_a_relation_with_thumbnails_is_used_as_any_other(with_photos: Registry) -> None:
    relation = with_photos.image("train", 1)
    assert relation.columns[:2] == ["split", "image_id"]
    assert relation.to_arrow_table().num_rows == len(relation.fetchall()) == len(relation) == 1
    assert "image_id" in repr(relation)
    assert with_photos.stats()["train"]["num_items"] == 8


def test_ipython_shows_the_thumbnails(with_photos: Registry) -> None:
    data, _ = DisplayFormatter().format(with_photos.pairs(split="validation"))
    assert len(pictures(data["text/html"])) == 2
    assert "pair_id" in data["text/plain"]


def test_without_photos_relations_are_those_of_duckdb(df2: Registry) -> None:
    import duckdb

    assert isinstance(df2.image("train", 1), duckdb.DuckDBPyRelation)


def test_the_html_is_escaped_and_bounded(with_photos: Registry) -> None:
    html = with_photos.sql("SELECT '<script>' AS \"<b>\", repeat('x', 1000) AS long, 1234 AS n")._repr_html_()
    assert "<script>" not in html
    assert "<b>" not in html
    assert "x" * 61 not in html
    assert "<td>1234</td>" in html
    many = with_photos.sql("SELECT split, image_id FROM images, range(100)")._repr_html_()
    assert len(pictures(many)) == 12
    assert "12 rows, and more" in many


def test_a_missing_password_is_said_in_the_html(registry_folder: Path, release: Path, tmp_path: Path) -> None:
    path = write_zipcrypto(tmp_path / "train.zip", files_in(release / "train"), "secret")
    opened = registry.open(str(registry_folder), photos={"train": str(path)})
    assert "No pictures: " in opened.image("train", 1)._repr_html_()
    named = registry.open(str(registry_folder), photos={"train": str(path)}, password="secret")
    assert len(pictures(named.image("train", 1)._repr_html_())) == 1


def test_show_returns_a_picture_and_show_rows_returns_sheets(with_photos: Registry, df2: Registry) -> None:
    assert registry.show(with_photos, "train", 1).size[0] == 800
    assert registry.show(df2, "train", 1, 2, crop=True).size[0] > 300
    (page,) = registry.show_rows(with_photos, "FROM items WHERE style = $style", {"style": 1})
    assert page.size[0] > 1000
