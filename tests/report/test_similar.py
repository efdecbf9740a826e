"""The page of similar items: its texts, its order and its bounds."""

from __future__ import annotations

from typing import Any

import pytest

import registry
from registry.pictures.album import Album, Subject
from registry.report import thumbnails
from registry.report.similar import similar_page
from registry.subset.options import Subset
from tests.embeddings.test_similar import embeddings_of
from tests.registries import make_three_splits
from tests.report.pages import outline


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return registry.open(str(make_three_splits(tmp_path_factory.mktemp("three"))))


def page_of(opened: Any, number: int, **options: Any) -> str:
    answer = registry.similar(opened, "train", 1, 1, number, embeddings=embeddings_of(opened))
    return similar_page(Album(opened), Subject("train", 1, 1), answer, vectors="<model>", **options)


def test_the_page_names_the_query_the_vectors_and_the_subset(opened: Any) -> None:
    page = page_of(opened, 3, subset=Subset.of(category="skirt"))
    assert outline(page) == [
        (1, "Similar to train/000001 item 1"), (2, "The item asked for"), (2, "The 3 most similar items")
    ]  # fmt: skip
    assert "&lt;model&gt;" in page
    assert "&quot;category&quot;: [&quot;skirt&quot;]" in page
    assert page.count("<li ") == 3
    assert "a subset of the items" in page
    assert "all items of the registry" in page_of(opened, 3)


def test_items_without_room_for_their_pictures_are_counted(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    total = page_of(opened, 100).count("<li ")
    monkeypatch.setattr(thumbnails, "_MOST_BYTES", 20_000)
    page = page_of(opened, 100)
    shown = page.count("<li ")
    assert 0 < shown < total
    assert f"{total - shown} more items without a picture here" in page
