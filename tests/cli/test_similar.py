"""``df2 similar``: rows, notices, pictures and errors."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import registry
from registry.embeddings.make import make_embeddings
from registry.ingest.build import ingest
from registry.pictures.album import Album, Subject
from registry.sources.photos import Photos
from tests.cli.conftest import Run
from tests.embeddings.test_similar import embeddings_of
from tests.helpers import annotation, item, write_split


@pytest.fixture
def opened(three_splits: Path) -> Any:
    return registry.open(str(three_splits))


def test_the_command_prints_rows_and_notices(run: Run, opened: Any) -> None:
    table = embeddings_of(opened)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), "e.parquet")
    result = run("similar", "train", 1, 1, "-k", 2, "--embeddings", "e.parquet", "--format", "csv")
    assert result.exit_code == 0, result.output
    header, *lines = result.stdout.splitlines()
    assert header == "split,image_id,item_no,source,pair_id,style,category_name,similarity,is_same_identity"
    expected = registry.similar(opened, "train", 1, 1, 2, embeddings=table).rows.to_pylist()
    assert [line.split(",")[:3] for line in lines] == [
        [row["split"], str(row["image_id"]), str(row["item_no"])] for row in expected
    ]
    assert "1 row of the embeddings has the item of an earlier row: not used." in result.stderr
    named = run("similar", "train", "000001.jpg", 1, "-k", 2, "--embeddings", "e.parquet", "--format", "csv")
    assert named.stdout == result.stdout


def test_the_command_draws_the_items(run: Run, opened: Any) -> None:
    pq.write_table(embeddings_of(opened), "e.parquet")
    words = ("similar", "train", 1, 1, "--embeddings", "e.parquet", "--show", "near.png", "--format", "csv")
    result = run(*words)
    assert result.exit_code == 0, result.output
    assert Path("near.png").read_bytes().startswith(b"\x89PNG")
    assert "near.png" in result.stderr
    assert "near.png" not in result.stdout


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("train", 1, 1, "-k", 0), 2, "0 is not in the range x>=1"),
        (("train", 1, "x"), 2, "'x' is not a valid integer"),
        (("train", 1, 99), 1, "train image 1 has no item 99"),
        (("train", 1, 1, "--embeddings", "none.parquet"), 1, "none.parquet"),
    ],
)
def test_bad_words_are_refused(run: Run, opened: Any, words: tuple[Any, ...], code: int, text: str) -> None:
    pq.write_table(embeddings_of(opened), "e.parquet")
    result = run("similar", *words, *(() if "--embeddings" in words else ("--embeddings", "e.parquet")))
    assert result.exit_code == code, result.output
    assert text in result.stderr
    assert result.stdout == ""


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """Return a registry of three items in three photos, with vectors of colour-texture."""
    colours = {1: (200, 0, 0), 2: (190, 10, 0), 3: (0, 0, 200)}
    annotations = {number: annotation([item(8, bounding_box=[0, 0, 20, 20])]) for number in colours}
    photos: dict[int | str, bytes] = {number: plain_photo(colour) for number, colour in colours.items()}
    write_split(tmp_path / "release" / "train", annotations, photos)
    ingest("train", str(tmp_path / "release" / "train"), str(tmp_path / "registry"), jobs=1)
    make_embeddings(str(tmp_path / "registry"), "colour-texture", str(tmp_path / "release"))
    (tmp_path / "mine.png").write_bytes(plain_photo((0, 10, 190)))
    return tmp_path / "registry"


def plain_photo(colour: tuple[int, int, int]) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (30, 40), colour).save(out, "PNG")
    return out.getvalue()


def test_the_items_most_similar_to_a_photo_are_listed_and_drawn(run: Run, plain: Path) -> None:
    words = ("similar", "--photo", "mine.png", "--photos", "release", "--format", "csv")
    result = run(*words, "--box", "0,0,20,20", "-k", 1, "--show", "near.html", registry=plain)
    assert result.exit_code == 0, result.output
    assert [line.split(",")[:3] for line in result.stdout.splitlines()[1:]] == [["train", "3", "1"]]
    assert result.stderr == "near.html\n"
    page = Path("near.html").read_text(encoding="utf-8")
    assert "Similar to mine.png" in page
    assert page.count("<img") == 3
    whole = run(*words, "--show", "near.png", registry=plain)
    assert whole.exit_code == 0, whole.output
    assert "note: without a box, the whole photo is compared with the boxes of items.\n" in whole.stderr
    assert Path("near.png").read_bytes().startswith(b"\x89PNG")


def test_the_page_of_an_item_shows_it_with_its_photo(run: Run, plain: Path) -> None:
    result = run("similar", "train", 1, 1, "--photos", "release", "--show", "near.html", registry=plain)
    assert result.exit_code == 0, result.output
    page = Path("near.html").read_text(encoding="utf-8")
    assert page.count("<img") == 4
    assert page.index("train/000002 item 1</div>") < page.index("train/000003 item 1</div>")
    Path("release/train/image/000003.jpg").write_bytes(b"broken")
    damaged = run("similar", "train", 1, 1, "--photos", "release", "--show", "near.html", registry=plain)
    assert damaged.exit_code == 3
    assert "warning: 1 photo is damaged" in damaged.stderr


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        ((), 2, "Expected SPLIT IMAGE_ID ITEM_NO, or --photo FILE."),
        (("train", 1), 2, "Expected SPLIT IMAGE_ID ITEM_NO, or --photo FILE."),
        (("train", 1, 1, "--photo", "mine.png"), 2, "Expected SPLIT IMAGE_ID ITEM_NO, or --photo FILE."),
        (("train", 1, 1, "--box", "1,2,3,4"), 2, "--box is for --photo."),
        (("train", 1, 1, "--embedder", "colour-texture"), 2, "--embedder is for --photo."),
        (("train", 1, 1, "--show", "near.gif"), 2, "near.gif: expected a name that ends in .html .png .jpg .jpeg .pdf"),
        (("--photo", "mine.png", "--box", "1,2,3"), 2, "expected four numbers such as 120,80,340,460, found '1,2,3'"),
        (("--photo", "mine.png", "--box", "1,2,3,x"), 2, "expected four numbers"),
        (("--photo", "mine.png", "--box", "9,2,3,4"), 2, "The box 9,2,3,4 has no area"),
        (("--photo", "mine.png", "--box", "90,2,93,4"), 2, "outside the photo, which has 30 x 40 px"),
        (("--photo", "none.png"), 1, "none.png does not exist"),
        (("--photo", "release"), 4, "release: Is a directory"),
        (("--photo", "mine.png", "--embedder", "none"), 2, "Unknown embedder 'none'"),
    ],
)
def test_photos_and_boxes_that_cannot_be_used_are_refused(
    run: Run, plain: Path, words: tuple[Any, ...], code: int, text: str
) -> None:
    result = run("similar", *words, registry=plain)
    assert result.exit_code == code, result.output
    assert text in result.stderr
    assert result.stdout == ""


def test_pictures_of_similar_items_keep_the_colours_of_garments(plain: Path, tmp_path: Path) -> None:
    colours = {}
    for only_boxes in (True, False):
        photos = Photos(str(tmp_path / "release"))
        album = Album(registry.open(str(plain)), photos, only_boxes=only_boxes)
        picture = album.draw(album.find(Subject("train", 1, 1)), crop=True, has_labels=False).picture
        colours[only_boxes] = {colour for _, colour in picture.getcolors(1 << 20)}
    assert (200, 0, 0) in colours[True]
    assert len(colours[True]) < len(colours[False])  # those of the mask and the landmarks as well
