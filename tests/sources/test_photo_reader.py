"""Photos at random access: from folders, archives and remote places, in threads and processes."""

from __future__ import annotations

import io
import multiprocessing
import pickle
import re
import threading
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.queues import SimpleQueue
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image, ImageOps

from registry.errors import PasswordError, SourceError
from registry.sources import photo_reader
from registry.sources.entries import Entry
from registry.sources.photo_cache import PhotoCache
from registry.sources.photo_crops import crop_box
from registry.sources.photo_decoding import PhotoError, decode_rgb, decode_upright
from registry.sources.photo_index import write_index
from registry.sources.photo_reader import PhotoReader
from tests.helpers import annotation, jpeg, photo, write_split
from tests.sources.packing import files_in, write_zip, write_zipcrypto
from tests.sources.test_photos import as_kind

KINDS = ("folder", ".zip", "ZipCrypto", "AES", ".tar", "memory")
IDS = (1, 2, 3, 7, 40)
_PASSWORD = "a secret"


def content(image_id: int) -> bytes:
    """Return the bytes of a photo, each of another size."""
    return jpeg(30 + image_id, 20)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    photos = {f"{image_id:06d}.jpg": content(image_id) for image_id in IDS}
    return write_split(tmp_path / "train", {image_id: annotation() for image_id in IDS}, photos)


def place(kind: str, folder: Path, tmp_path: Path) -> str:
    """Return the path or URL of the release in a kind of place."""
    members = {f"train/{name}": data for name, data in files_in(folder).items()}
    if kind == "ZipCrypto":
        return str(write_zipcrypto(tmp_path / "train.zip", members, _PASSWORD))
    if kind == "AES":
        return str(write_zip(tmp_path / "train.zip", members, aes=_PASSWORD))
    return as_kind("" if kind == "folder" else kind, folder, tmp_path)


@pytest.fixture(params=KINDS)
def reader(request: pytest.FixtureRequest, folder: Path, tmp_path: Path) -> PhotoReader:
    return PhotoReader({"train": place(request.param, folder, tmp_path)}, password=_PASSWORD)


def all_read(reader: PhotoReader) -> list[bytes]:
    """Return the bytes of all photos, the last first."""
    return [reader.read("train", image_id) for image_id in reversed(IDS)]


EXPECTED = [content(image_id) for image_id in reversed(IDS)]


def test_photos_are_read_in_any_order_and_by_a_pickled_copy(reader: PhotoReader) -> None:
    reader.prepare(["train"])
    assert all_read(reader) == EXPECTED
    sent = pickle.dumps(reader)
    assert len(sent) < 4096
    assert all_read(pickle.loads(sent)) == EXPECTED
    assert _PASSWORD not in repr(reader)


def test_a_missing_photo_is_an_error_with_its_key(reader: PhotoReader) -> None:
    with pytest.raises(SourceError, match=r"train/image/000005\.jpg is not among the photos in "):
        reader.read("train", 5)


def test_threads_share_a_reader(reader: PhotoReader) -> None:
    reader.prepare(["train"])
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda image_id: reader.read("train", image_id), IDS * 20))
    assert found == [content(image_id) for image_id in IDS] * 20


@pytest.fixture
def three_splits(tmp_path: Path) -> PhotoReader:
    """Return a reader of zips; photo 1 differs from split to split."""
    release = {}
    for split, image_id in (("train", 40), ("validation", 50), ("test", 60)):
        folder = write_split(tmp_path / split, {1: annotation()}, {"000001.jpg": content(image_id)})
        members = {f"{split}/{name}": data for name, data in files_in(folder).items()}
        release[split] = str(write_zip(tmp_path / f"{split}.zip", members))
    return PhotoReader(release)


def test_a_copy_lists_several_splits_again(three_splits: PhotoReader) -> None:
    three_splits.prepare(["validation", "test"])
    copy = pickle.loads(pickle.dumps(three_splits))
    three_splits.close()
    for _ in range(2):
        assert copy.read("validation", 1) == content(50)
        assert copy.read("test", 1) == content(60)
    again = pickle.loads(pickle.dumps(copy))
    assert again.read("validation", 1) == content(50)
    assert again.read("test", 1) == content(60)


def test_threads_may_list_splits_at_the_same_time(three_splits: PhotoReader, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = three_splits
    reader.prepare(["train"])
    meeting = threading.Barrier(2)

    def write_together(path: Path, entries: Mapping[int, Entry]) -> None:
        write_index(path, entries)
        with suppress(threading.BrokenBarrierError):  # splits are listed in turn: the other thread waits
            meeting.wait(0.5)

    monkeypatch.setattr(photo_reader, "write_index", write_together)
    with ThreadPoolExecutor(2) as pool:
        photos = list(pool.map(lambda split: reader.read(split, 1), ["validation", "test"]))
    assert photos == [content(50), content(60)]


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("kind", ["folder", ".zip", "ZipCrypto", ".tar"])
def test_processes_read_after_their_parent_did(kind: str, method: str, folder: Path, tmp_path: Path) -> None:
    reader = PhotoReader({"train": place(kind, folder, tmp_path)}, password=_PASSWORD)
    assert all_read(reader) == EXPECTED
    with ProcessPoolExecutor(2, multiprocessing.get_context(method)) as pool:
        assert list(pool.map(all_read, [reader] * 4)) == [EXPECTED] * 4
    assert all_read(reader) == EXPECTED


def test_the_listing_is_removed_and_made_again(folder: Path, tmp_path: Path) -> None:
    reader = PhotoReader({"train": place(".zip", folder, tmp_path)})
    reader.prepare(["train"])
    listing = reader._folder
    assert listing is not None
    assert listing.is_dir()
    copy = pickle.loads(pickle.dumps(reader))
    reader.close()
    assert not listing.exists()
    assert all_read(copy) == EXPECTED
    assert all_read(reader) == EXPECTED


def read_and_end(reader: PhotoReader, folders: SimpleQueue[str]) -> None:
    """Read a photo, and send the folder of the listing."""
    reader.read("train", 1)
    folders.put(str(reader._folder))


def test_a_fork_lists_again_what_its_parent_removed(three_splits: PhotoReader) -> None:
    three_splits.prepare(["validation"])
    context = multiprocessing.get_context("fork")
    is_closed, sizes = context.Event(), context.SimpleQueue()

    def read_late() -> None:
        is_closed.wait(10)
        sizes.put(len(three_splits.read("validation", 1)))

    process = context.Process(target=read_late)
    process.start()
    three_splits.close()
    is_closed.set()
    process.join(20)
    assert process.exitcode == 0
    assert sizes.get() == len(content(50))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_process_that_lists_removes_its_listing(method: str, three_splits: PhotoReader) -> None:
    context = multiprocessing.get_context(method)
    folders = context.SimpleQueue()
    process = context.Process(target=read_and_end, args=(three_splits, folders))
    process.start()
    listing = Path(folders.get())
    process.join()
    assert process.exitcode == 0
    assert listing.name.startswith("df2-photos-")
    assert not listing.exists()


def test_a_damaged_photo_in_a_zip_is_an_error_with_its_key(tmp_path: Path, folder: Path) -> None:
    path = tmp_path / "train.zip"
    members = {f"train/{name}": data for name, data in files_in(folder).items()}
    write_zip(path, members)
    data = bytearray(path.read_bytes())
    at = data.index(b"train/image/000003.jpg") + 60
    data[at : at + 4] = bytes(byte ^ 0xFF for byte in data[at : at + 4])
    path.write_bytes(data)
    reader = PhotoReader({"train": str(path)})
    with pytest.raises(SourceError, match=r"^Cannot read train/image/000003\.jpg in .*the archive is damaged here"):
        reader.read("train", 3)
    assert reader.read("train", 1) == content(1)


def test_a_wrong_password_is_refused_at_once(folder: Path, tmp_path: Path) -> None:
    reader = PhotoReader({"train": place("ZipCrypto", folder, tmp_path)}, password="another")
    with pytest.raises(PasswordError):
        reader.prepare(["train"])


def test_links_out_of_a_folder_are_refused_and_other_suffixes_found(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "outside.jpg").write_bytes(content(9))
    (folder / "image" / "000009.jpg").symlink_to(tmp_path / "outside.jpg")
    png = photo(30, 40, "PNG", None)
    (folder / "image" / "000010.png").write_bytes(png)
    reader = PhotoReader({"train": str(folder)})
    with pytest.raises(SourceError, match=r"000009\.jpg in .*link that leads out of the source"):
        reader.read("train", 9)
    assert reader.read("train", 10) == png
    assert PhotoReader({"train": str(folder)}, follow_links=True).read("train", 9) == content(9)


def test_remote_photos_are_kept_in_a_cache(folder: Path, tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "train.zip", {f"train/{name}": data for name, data in files_in(folder).items()})
    memory = fsspec.filesystem("memory")
    memory.pipe("/cached/train.zip", archive.read_bytes())
    reader = PhotoReader({"train": "memory://cached/train.zip"}, cache=tmp_path / "cache")
    assert all_read(reader) == EXPECTED
    memory.pipe("/cached/train.zip", b"")
    assert all_read(reader) == EXPECTED


def test_the_folder_of_a_cache_is_measured_once(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []
    monkeypatch.setattr(PhotoCache, "_shrink", lambda cache: measured.append(cache) or 0)
    members = {f"train/{name}": data for name, data in files_in(folder).items()}
    fsspec.filesystem("memory").pipe("/measured/train.zip", write_zip(tmp_path / "train.zip", members).read_bytes())
    reader = PhotoReader({"train": "memory://measured/train.zip"}, cache=tmp_path / "cache")
    assert all_read(reader) == EXPECTED
    assert len(measured) == 1


def test_a_long_local_header_is_read_whole(tmp_path: Path) -> None:
    name = "/".join(["long" * 20] * 5) + "/train/image/000001.jpg"
    path = write_zip(
        tmp_path / "train.zip", {name: content(1), name.replace("image/000001.jpg", "annos/000001.json"): b"{}"}
    )
    assert PhotoReader({"train": str(path)}).read("train", 1) == content(1)


def test_photos_are_decoded_as_stored() -> None:
    assert decode_rgb(photo(30, 40, "JPEG", 6)).shape == decode_rgb(photo(30, 40, "PNG", None)).shape
    with pytest.raises(PhotoError, match=re.escape("no JPEG, PNG or WebP")):
        decode_rgb(b"text")
    with pytest.raises(PhotoError):
        decode_rgb(content(1)[:-100])


@pytest.mark.parametrize(
    ("box", "margin", "expected"),
    [
        ((10, 10, 20, 30), 0.0, (10, 10, 20, 30)),
        ((10, 10, 20, 30), 0.5, (5, 0, 25, 40)),
        ((90, 70, 120, 90), 0.0, (90, 70, 100, 80)),
        ((10, 10, 10, 30), 0.0, (10, 10, 11, 30)),
        ((200, 200, 300, 300), 0.2, (99, 79, 100, 80)),
        ((-9, -9, -5, -5), 0.0, (0, 0, 1, 1)),
    ],
)
def test_a_crop_has_a_pixel_at_least(box: tuple[int, ...], margin: float, expected: tuple[int, ...]) -> None:
    assert crop_box(box, margin, 100, 80) == expected


@pytest.mark.parametrize("orientation", range(10))
def test_upright_photos_are_turned_as_viewers_turn_them(orientation: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)
    exif = Image.Exif()
    exif[0x0112] = orientation
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG", exif=exif)
    upright, told = decode_upright(out.getvalue())
    assert (upright == np.asarray(ImageOps.exif_transpose(Image.open(out)))).all()
    assert told == (orientation if 1 <= orientation <= 8 else 1)
