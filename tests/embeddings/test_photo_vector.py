"""The vector of a photo of the user: that of an item where the crop is the same; photos and boxes that are refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import registry
from registry.embeddings.add import add_embeddings
from registry.embeddings.make import make_embeddings
from registry.embeddings.photo_vector import photo_vector
from registry.errors import NotFoundError, UnknownNameError, UsageError
from registry.ingest.build import ingest
from tests.embeddings.test_make import halves
from tests.embeddings.toy_embedders import Failing, Mean, Short, Wide, register
from tests.helpers import annotation, item, write_split

PHOTO = "release/train/image/000001.jpg"
WITHOUT_BOX = "without a box, the whole photo is compared with the boxes of items"


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a registry of two items in a photo, with the vectors of the embedder mean, in the working directory."""
    monkeypatch.chdir(tmp_path)
    items = [item(1, bounding_box=[0, 10, 100, 200]), item(9, bounding_box=[110, 0, 190, 50])]
    write_split(Path("release/train"), {1: annotation(items)}, {1: halves()})
    ingest("train", "release/train", "registry", jobs=1)
    make_embeddings("registry", Mean(), "release")
    return registry.open("registry")


@pytest.mark.parametrize(("item_no", "box"), [(1, (0, 10, 100, 200)), (2, [110, 0, 190, 50])])
def test_the_box_of_an_item_has_its_vector(opened: Any, item_no: int, box: Any) -> None:
    answer = registry.similar_to_photo(opened, PHOTO, box=box, embedder=Mean())
    assert answer.rows.num_rows == 2
    assert answer.rows.column("item_no")[0].as_py() == item_no
    assert answer.rows.column("similarity")[0].as_py() == pytest.approx(1, abs=1e-6)
    assert answer.rows.column("is_same_identity").null_count == 2
    assert answer.notices == []


def test_the_embedder_has_the_name_of_the_model(opened: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(tmp_path / "packages", monkeypatch, {"mean": "tests.embeddings.toy_embedders:Mean"})
    asked = photo_vector(opened, Path(PHOTO), embeddings="mean")
    assert asked.vector.tolist() == pytest.approx([100, 0, 100, 200, 240])
    assert (asked.name, asked.box, asked.edges, asked.notices) == (
        "000001.jpg", None, (0, 0, 200, 240), [WITHOUT_BOX]
    )  # fmt: skip


def test_the_margin_is_that_of_the_embedder(opened: Any) -> None:
    make_embeddings("registry", Wide(), "release", model="wide")
    asked = photo_vector(registry.open("registry"), PHOTO, (110, 0, 190, 50), embeddings="wide", embedder=Wide())
    assert asked.edges == (70, 0, 200, 75)
    assert asked.crop.shape == (75, 130, 3)
    answer = registry.similar_to_photo(
        registry.open("registry"), PHOTO, 1, box=(110, 0, 190, 50), embeddings="wide", embedder=Wide()
    )
    assert answer.rows.select(["item_no", "similarity"]).to_pylist() == [
        {"item_no": 2, "similarity": pytest.approx(1, abs=1e-6)}
    ]


def test_a_box_that_reaches_beyond_the_photo_is_cut(opened: Any) -> None:
    asked = photo_vector(opened, PHOTO, (-5, 10, 100, 900), embedder=Mean())
    assert asked.edges == (0, 10, 100, 240)
    assert asked.notices == ["the box reaches beyond the photo of 200 x 240 px, and is cut at its edges"]


def test_a_turned_photo_is_upright(opened: Any) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(io.BytesIO(halves())).rotate(90, expand=True).save("turned.png", exif=exif)
    asked = photo_vector(opened, "turned.png", (0, 10, 100, 200), embedder=Mean())
    assert asked.vector.tolist() == pytest.approx([200, 0, 0, 100, 190])
    (notice,) = asked.notices
    assert notice.startswith("the photo is turned as its EXIF orientation 6 says, to 200 x 240 px")


@pytest.mark.parametrize(
    ("box", "text"),
    [
        ((1, 2, 3), "expected x1,y1,x2,y2: its left, top, right and bottom edge in px, found \\(1, 2, 3\\)"),
        ("abcd", "expected x1,y1,x2,y2"),
        (5, "expected x1,y1,x2,y2"),
        ((0, 0, float("nan"), 9), "expected x1,y1,x2,y2: .* found 0,0,nan,9"),
        ((90, 10, 80, 20), "The box 90,10,80,20 has no area: expected x1 below x2 and y1 below y2"),
        ((0, 9, 9, 9), "has no area"),
        ((200, 0, 300, 9), "The box 200,0,300,9 lies outside the photo, which has 200 x 240 px"),
    ],
)
def test_boxes_that_are_none_of_the_photo_are_refused(opened: Any, box: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        photo_vector(opened, PHOTO, box, embedder=Mean())


def test_a_photo_may_lie_behind_a_url(opened: Any) -> None:
    fsspec.filesystem("memory").pipe("/photos/mine.png", halves())
    asked = photo_vector(opened, "memory://photos/mine.png", (0, 10, 100, 200), embedder=Mean())
    assert (asked.name, asked.vector.tolist()) == ("mine.png", pytest.approx([200, 0, 0, 100, 190]))


def test_files_that_are_no_photo_are_refused(opened: Any) -> None:
    Path("text.jpg").write_text("no photo")
    Path("half.jpg").write_bytes(halves()[:200])
    with pytest.raises(UsageError, match=r"text\.jpg is no photo that can be used: no JPEG, PNG or WebP"):
        photo_vector(opened, "text.jpg", embedder=Mean())
    with pytest.raises(UsageError, match=r"half\.jpg is no photo that can be used: "):
        photo_vector(opened, "half.jpg", embedder=Mean())
    Path("empty.jpg").touch()
    with pytest.raises(UsageError, match=r"empty\.jpg is no photo that can be used: no JPEG, PNG or WebP"):
        photo_vector(opened, "empty.jpg", embedder=Mean())
    with Path("large.jpg").open("wb") as file:
        file.truncate((128 << 20) + 1)
    with pytest.raises(UsageError, match=r"large\.jpg has 134,217,729 bytes: expected a photo of at most 134,217,728"):
        photo_vector(opened, "large.jpg", embedder=Mean())
    with pytest.raises(NotFoundError, match=r"none\.jpg does not exist"):
        photo_vector(opened, "none.jpg", embedder=Mean())
    with pytest.raises(UsageError, match=r"The embedder failing failed on .*000001\.jpg: RuntimeError: out of memory"):
        photo_vector(opened, PHOTO, embedder=Failing())


def test_an_embedder_that_did_not_make_the_vectors_is_refused(opened: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Other(Mean):
        weights = "cd" * 32

    class Silent(Mean):
        weights = None  # type: ignore[assignment]
        crop = "a circle"

    with pytest.raises(UnknownNameError, match="No embedder that is installed has the name of the model mean"):
        photo_vector(opened, PHOTO)
    with pytest.raises(UnknownNameError, match="Unknown model 'other'"):
        photo_vector(opened, PHOTO, embeddings="other", embedder=Mean())
    with pytest.raises(UsageError, match=r"made with the weights abababababab.*embedder mean has cdcdcdcdcdcd"):
        photo_vector(opened, PHOTO, embedder=Other())
    monkeypatch.setattr(Short, "dimensions", 3)
    with pytest.raises(UsageError, match="has vectors of 5 numbers, and the embedder short makes vectors of 3"):
        photo_vector(opened, PHOTO, embedder=Short())
    assert photo_vector(opened, PHOTO, embedder=Silent()).notices == [
        "the embedder mean does not tell its weights, so that they could not be compared",
        "items of the model mean were cut out as 'the box', and the embedder mean cuts out 'a circle'",
        WITHOUT_BOX,
    ]


def test_vectors_of_a_file_need_the_name_of_an_embedder(opened: Any) -> None:
    flat = pa.array(np.eye(2, 5, dtype=np.float32).ravel())
    vectors = pa.FixedSizeListArray.from_arrays(flat, 5)
    table = pa.table({"split": ["train"] * 2, "image_id": [1, 1], "item_no": [1, 2], "vector": vectors})
    with pytest.raises(UsageError, match="A file of vectors does not tell which embedder made them"):
        registry.similar_to_photo(opened, PHOTO, embeddings=table)
    answer = registry.similar_to_photo(opened, PHOTO, 1, box=(0, 10, 100, 200), embeddings=table, embedder=Mean())
    assert answer.rows.column("item_no").to_pylist() == [1]
    add_embeddings("registry", "added", table)
    (notice, *_) = photo_vector(registry.open("registry"), PHOTO, embeddings="added", embedder=Mean()).notices
    assert notice == "the model added does not tell its weights, so that they could not be compared"
