"""Photos, thumbnails and the annotation over them."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.testclient import TestClient

import registry
from registry.ingest.build import ingest
from registry.sources.photos import Photos
from registry.web.app import create_app
from registry.web.library import content_type
from registry.web.overlay import digits_of, mask_path, shapes
from registry.web.pictures import load_pictures
from registry.web.security import Access
from registry.web.site import Settings, Site
from tests.helpers import SMALL_SPLIT, annotation, item, jpeg, write_split

#: Left half red, right half blue, with the EXIF tag that lets viewers turn it by 90 degrees.
WIDTH, HEIGHT = 300, 400


def two_colours() -> bytes:
    photo = Image.new("RGB", (WIDTH, HEIGHT), (255, 0, 0))
    photo.paste((0, 0, 255), (WIDTH // 2, 0, WIDTH, HEIGHT))
    exif = Image.Exif()
    exif[0x0112] = 6
    buffer = io.BytesIO()
    photo.save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release")
    photos = {1: two_colours(), **dict.fromkeys((2, 3, 4, 7), jpeg(300, 400))}
    write_split(folder / "train", SMALL_SPLIT, photos)
    return folder


@pytest.fixture(scope="module")
def site(release: Path, tmp_path_factory: pytest.TempPathFactory) -> Site:
    target = tmp_path_factory.mktemp("registry") / "registry"
    ingest("train", str(release / "train"), str(target), jobs=1)
    (release / "train" / "image" / "000004.jpg").write_bytes(b"\xff\xd8\xff damaged")
    (release / "train" / "image" / "000007.jpg").write_bytes(b"<svg onload='alert(1)'>")
    return Site(registry.open(str(target)), Settings(photos=Photos(str(release))))


@pytest.fixture
def client(site: Site) -> Iterator[TestClient]:
    with TestClient(create_app(site, Access.of("127.0.0.1")), base_url="http://127.0.0.1") as client:
        yield client


def pixels(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def is_near(colour: Any, expected: tuple[int, int, int]) -> bool:
    return all(abs(first - second) < 40 for first, second in zip(colour, expected, strict=True))


def test_a_photo_has_the_bytes_of_its_file(client: TestClient, release: Path) -> None:
    response = client.get("/photo/train/1")
    assert response.content == (release / "train" / "image" / "000001.jpg").read_bytes()
    assert response.headers["content-type"] == "image/jpeg"
    assert response.headers["x-content-type-options"] == "nosniff"
    again = client.get("/photo/train/1", headers={"If-None-Match": response.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_thumbnail_is_not_turned_and_shows_its_part(client: TestClient) -> None:
    whole = pixels(client.get("/thumbnail/train/1.jpg?w=224").content)
    assert whole.size == (224, 299)
    assert is_near(whole.getpixel((20, 150)), (255, 0, 0))
    assert is_near(whole.getpixel((200, 150)), (0, 0, 255))
    right = pixels(client.get("/thumbnail/train/1.jpg?w=224&part=150,0,300,400").content)
    assert is_near(right.getpixel((5, 5)), (0, 0, 255))
    beyond = pixels(client.get("/thumbnail/train/1.jpg?w=224&part=-100,0,100,200").content)
    assert is_near(beyond.getpixel((50, 50)), (208, 208, 208))
    assert is_near(beyond.getpixel((150, 50)), (255, 0, 0))
    outside = pixels(client.get("/thumbnail/train/1.jpg?w=224&part=900,900,1000,1000").content)
    assert outside.size == (224, 224)


def test_a_photo_that_cannot_be_shown_is_not_found_and_the_answer_says_why(client: TestClient) -> None:
    assert "not among the photos" in client.get("/photo/train/12").text
    for path in ("/photo/train/12", "/photo/train/7", "/thumbnail/train/4.jpg", "/thumbnail/test/1.jpg",
                 "/photo/train/99999999999999999999"):  # fmt: skip
        response = client.get(path)
        assert response.status_code == 404, path
        assert response.headers["content-type"].startswith("text/plain"), path
        assert response.headers["cache-control"] == "no-store", path


@pytest.mark.parametrize(
    "query", ["w=0", "w=100000", "w=x", "part=", "part=1,2,3", "part=0,0,0,10", "part=9,9,1,1", "part=0,0,1,900"]
)
def test_sizes_and_parts_that_no_page_asks_for_are_refused(client: TestClient, query: str) -> None:
    response = client.get(f"/thumbnail/train/1.jpg?{query}")
    assert response.status_code == 400
    assert query.partition("=")[0] in response.text


def test_nothing_but_photos_is_sent() -> None:
    assert content_type(jpeg()) == "image/jpeg"
    for kind in ("PNG", "WEBP"):
        buffer = io.BytesIO()
        Image.new("RGB", (2, 2)).save(buffer, kind)
        assert content_type(buffer.getvalue()) == f"image/{kind.lower()}"
    assert content_type(b"<html>") is None
    assert content_type(b"RIFF....WAVE") is None


def test_without_photos_the_answer_names_the_option(site: Site) -> None:
    bare = TestClient(create_app(Site(site.registry, Settings()), Access.of("127.0.0.1")), base_url="http://127.0.0.1")
    response = bare.get("/thumbnail/train/1.jpg")
    assert (response.status_code, "--photos" in response.text) == (404, True)
    page = bare.get("/").text
    assert "<img" not in page
    assert page.count('class="overlay"') == len(SMALL_SPLIT)


def test_many_threads_get_the_same_thumbnails(site: Site) -> None:
    answers: list[bytes] = []
    threads = [
        threading.Thread(target=lambda: answers.append(site.library.thumbnail("train", 2, 224, None)))
        for _ in range(16)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 16
    assert len(set(answers)) == 1


def test_the_grid_draws_each_item_over_its_photo(client: TestClient) -> None:
    page = client.get("/").text
    sources = re.findall(r'<img[^>]* src="([^"]*)"', page)
    assert len(sources) == len(SMALL_SPLIT)
    assert client.get(sources[0].replace("&amp;", "&")).status_code == 200
    assert 'alt="train/000002: skirt, long sleeve top"' in page
    assert page.count('class="mask"') == sum(len([k for k in a if k.startswith("item")]) for a in SMALL_SPLIT.values())


def test_the_box_at_zero_and_landmarks_without_label_are_not_drawn(site: Site) -> None:
    pictures = load_pictures(site, [{"split": "train", "image_id": 7}, {"split": "train", "image_id": 99}])
    picture = pictures.picture({"split": "train", "image_id": 7})
    assert picture is not None
    (shape,) = picture.shapes
    assert (shape.box, shape.visible, shape.occluded, shape.links) == (None, "", "", "")
    assert pictures.picture({"split": "train", "image_id": 99}) is None


def test_an_item_is_cropped_with_a_margin(site: Site) -> None:
    row = {"split": "train", "image_id": 1, "item_no": 2}
    pictures = load_pictures(site, [row])
    whole, crop = pictures.picture(row), pictures.picture(row, crop=True)
    assert whole is not None
    assert crop is not None
    assert whole.view_box == "0 0 300 400"
    assert crop.view_box == "0 0 130 240"
    assert "part=0,0,130,240" in crop.source
    assert (crop.path, crop.item_no) == ("/image/train/1", 2)


@pytest.mark.parametrize("second", [[5, 5, 15, 5, 15, 15, 5, 15], [5, 5, 5, 15, 15, 15, 15, 5]])
def test_overlapping_polygons_have_one_outline_whichever_way_they_go_round(second: list[float]) -> None:
    region = (0.0, 0.0, 100.0, 100.0)
    path = mask_path([[0, 0, 10, 0, 10, 10, 0, 10], second], region)
    assert path.count("M") == 1
    corners = {(0, 0), (10, 0), (10, 5), (15, 5), (15, 15), (5, 15), (5, 10), (0, 10)}
    assert set(re.findall(r"(\d+) (\d+)", path)) == {(str(x), str(y)) for x, y in corners}


@pytest.mark.parametrize(
    ("digits", "path"),
    [
        (None, "M0.25 0L10 0.04L5 9.96zM20 0L30 0 30 10z"),
        (1, "M0.2 0L10 0 5 10zM20 0L30 0 30 10z"),
        (0, "M0 0L10 0 5 10zM20 0L30 0 30 10z"),
    ],
)
def test_polygons_apart_are_drawn_as_they_are(digits: int | None, path: str) -> None:
    polygons = [[0.25, 0, 10, 0.04, 10, 0.04, 5, 9.96], [20, -0.0, 30, 0, 30, 10]]
    assert mask_path(polygons, (0.0, 0.0, 100.0, 100.0), digits) == path.replace("0.04L", "0.04 ")


def test_visible_and_occluded_landmarks_differ_in_shape() -> None:
    row = {
        **dict.fromkeys(("x1", "y1", "x2", "y2"), 1.5), "item_no": 1, "category_id": 9, "category_name": "skirt",
        "landmarks": [1, 2, 2, 3, 4, 1, *[0] * 18], "segmentation": [],
    }  # fmt: skip
    (shape,) = shapes([row], (0, 0, 10, 10), named=True)
    assert (shape.visible, shape.occluded) == ("M1 2h.01", "M3 4l.01 .01")
    assert (shape.links, shape.hidden_links) == ("", "M3 4L1 2")
    assert [(mark.number, mark.name, mark.is_visible) for mark in shape.landmarks] == [
        (1, "skirt_kpt1", True), (2, "skirt_kpt2", False),
    ]  # fmt: skip
    assert shape.box == ("1.5", "1.5", "0", "0")


def test_coordinates_are_as_fine_as_a_screen_shows_them() -> None:
    assert (digits_of(1000, 448), digits_of(100, 448), digits_of(4, 448)) == (0, 1, 3)


def test_coordinates_beyond_all_bounds_are_drawn_somehow(tmp_path: Path) -> None:
    far = [-9e15, 1, 9e15, 2, 5, 9e15, 0.5, -9e15]
    odd = {
        1: annotation([item(1, 1, segmentation=[far, [1, 1, 1, 1, 1, 1]], bounding_box=[-9e15, 0, 9e15, 9e15])]),
        2: annotation([item(1, 1, segmentation=[], landmarks=[2**31 - 1, -(2**31) + 1, 1] * 25)]),
    }
    ingest("train", str(write_split(tmp_path / "train", odd)), str(tmp_path / "registry"), jobs=1)
    site = Site(registry.open(str(tmp_path / "registry")), Settings())
    client = TestClient(create_app(site, Access.of("127.0.0.1")), base_url="http://127.0.0.1")
    assert client.get("/").status_code == 200
    assert client.get("/?show=items").status_code == 200
