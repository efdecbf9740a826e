"""The descriptor of colours and texture: its vectors, prints that it tells apart, and identities of a drawn sample."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import registry
from registry.embeddings.colour_texture import ColourTexture
from registry.embeddings.make import make_embeddings
from registry.ingest.build import ingest
from registry.sample import write_sample


def stripes(colour: tuple[int, int, int], width: int, *, across: bool = False, size: int = 96) -> Any:
    """Return a crop of stripes on white."""
    is_stripe = np.arange(size) // width % 2 == 0
    crop = np.full((size, size, 3), 255, np.uint8)
    crop[is_stripe] = colour
    return crop.transpose(1, 0, 2) if across else crop


def test_vectors_have_length_1_for_crops_of_any_size() -> None:
    embedder = ColourTexture()
    sizes = [(1, 1), (1, 500), (700, 2), (64, 64), (300, 200)]
    crops = [np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8) for size in sizes]
    crops += [np.zeros((9, 9, 3), np.uint8), np.full((9, 9, 3), 255, np.uint8)]
    vectors = embedder.embed(crops)
    assert vectors.shape == (len(crops), embedder.dimensions)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert embedder.embed([]).shape == (0, embedder.dimensions)
    alone = np.concatenate([embedder.embed([crop]) for crop in crops])
    np.testing.assert_allclose(alone, vectors, atol=1e-6)


@pytest.mark.parametrize(
    "other",
    [stripes((20, 60, 200), 8), stripes((200, 30, 40), 8, across=True), stripes((200, 30, 40), 24)],
    ids=["colour", "direction", "width"],
)
def test_the_same_print_is_nearer_than_another(other: Any) -> None:
    print_ = stripes((200, 30, 40), 8)
    darker = (np.roll(print_, 5, 0) * 0.97).astype(np.uint8)
    first, same, far = ColourTexture().embed([print_, darker, other])
    assert first @ same > first @ far


def test_items_of_an_identity_are_found_far_more_often_than_by_chance(tmp_path: Path) -> None:
    write_sample(tmp_path / "release", num_images=40, seed=3)
    folder = str(tmp_path / "registry")
    ingest("train", str(tmp_path / "release" / "train"), folder, jobs=1)
    make_embeddings(folder, "colour-texture", str(tmp_path / "release"), splits=["train"])
    opened = registry.open(folder)
    queries = opened.sql(
        "SELECT image_id, item_no FROM items AS query WHERE source = 'user' AND style > 0 AND EXISTS "
        "(FROM items AS shop WHERE shop.source = 'shop' AND (shop.pair_id, shop.style) = (query.pair_id, query.style))"
    ).fetchall()
    num_shop = opened.sql("SELECT count(*) FROM items WHERE source = 'shop'").fetchall()[0][0]
    hits = [registry.similar(opened, "train", *key, 1, subset={"source": "shop"}).rows for key in queries]
    right = np.mean([rows.column("is_same_identity")[0].as_py() for rows in hits])
    assert len(queries) >= 8
    assert right > 5 / num_shop
