"""Vectors made out of photos: of each item, from each kind of release, and those that cannot be made."""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import registry
from registry.embeddings import make
from registry.embeddings.make import make_embeddings
from registry.errors import ConflictError, SourceError, StorageError, UnknownNameError, UsageError
from registry.ingest.build import ingest
from registry.ingest.describe import describe_photos
from registry.snapshot.manifest import MANIFEST_NAME
from tests.embeddings.toy_embedders import Careless, Complex, Failing, Leaving, Mean, Short, Tiny, Wide, Zero, register
from tests.helpers import annotation, item, jpeg, write_split

RED, BLUE = (200, 0, 0), (0, 0, 200)


def halves(width: int = 200, height: int = 240) -> bytes:
    """Return a PNG whose left half is red and whose right half is blue."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2], pixels[:, width // 2 :] = RED, BLUE
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


@pytest.fixture(scope="module")
def made_small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a release and its registry, of four items in three images; no test changes it."""
    folder = tmp_path_factory.mktemp("made")
    left, right = {"bounding_box": [0, 10, 100, 200]}, {"bounding_box": [110, 0, 190, 50]}
    annotations = {
        1: annotation([item(1, **left), item(9, **right)]),
        2: annotation([item(8, **left)]),
        3: annotation([item(8, bounding_box=[50, 10, 150, 20])]),
    }
    photos: dict[int | str, bytes] = {1: halves(), 2: halves(), 3: halves()}
    write_split(folder / "release" / "train", annotations, photos)
    ingest("train", str(folder / "release" / "train"), str(folder / "registry"), jobs=1)
    return folder


@pytest.fixture
def small(made_small: Path, tmp_path: Path) -> Path:
    """Return that registry, which the test may change as it may change the release beside it."""
    shutil.copytree(made_small, tmp_path, dirs_exist_ok=True)
    return tmp_path / "registry"


def release_of(small: Path) -> str:
    return str(small.parent / "release")


def vectors(folder: Path, model: str = "mean") -> list[tuple[Any, ...]]:
    rows = registry.open(str(folder)).sql(
        "SELECT image_id, item_no, vector FROM embeddings WHERE model = ? ORDER BY ALL".replace("?", f"'{model}'")
    )
    return [(image_id, item_no, list(vector)) for image_id, item_no, vector in rows.fetchall()]


def direction(*numbers: float) -> Any:
    return pytest.approx((np.array(numbers) / np.linalg.norm(numbers)).tolist(), abs=2e-3)


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_item_gets_the_vector_of_its_crop(small: Path, jobs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "_PHOTOS", 1)
    done: list[tuple[int, int]] = []
    report = make_embeddings(
        str(small), Mean(), release_of(small), jobs=jobs, progress=lambda *numbers: done.append(numbers)
    )
    assert (report.model, report.num_vectors, report.num_missing, report.notices) == ("mean", 4, 0, [])
    assert done == [(1, 3), (2, 3), (3, 3)]
    assert vectors(small) == [
        (1, 1, direction(*RED, 100, 190)),
        (1, 2, direction(*BLUE, 80, 50)),
        (2, 1, direction(*RED, 100, 190)),
        (3, 1, direction(100, 0, 100, 100, 10)),
    ]
    about = registry.open(str(small)).sql("SELECT dimensions, dtype, weights, crop FROM embedding_models").fetchall()
    assert about == [(5, "float16", "ab" * 32, "the box")]


def test_the_margin_of_the_embedder_is_that_of_exported_crops(small: Path) -> None:
    make_embeddings(str(small), Wide(), release_of(small), model="named")
    assert vectors(small, "named")[1] == (1, 2, direction(200 * 30 / 130, 0, 200 * 100 / 130, 130, 75))


def test_each_photo_is_decoded_once_in_batches_of_bounded_memory(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decode, decoded, sizes = make.decode_rgb, [], []

    def counted(data: bytes) -> Any:
        decoded.append(len(data))
        return decode(data)

    class Counted(Mean):
        def embed(self, crops: Any) -> Any:
            sizes.append(len(crops))
            return super().embed(crops)

    monkeypatch.setattr(make, "decode_rgb", counted)
    monkeypatch.setattr(make, "_MAX_BYTES", 1)
    make_embeddings(str(small), Counted(), release_of(small))
    assert (len(decoded), sizes) == (3, [2, 1, 1])


@pytest.mark.parametrize("jobs", [1, 2])
def test_photos_come_out_of_a_protected_zip_too(tmp_path: Path, small: Path, jobs: int) -> None:
    pyzipper = pytest.importorskip("pyzipper")
    with pyzipper.AESZipFile(tmp_path / "train.zip", "w", encryption=pyzipper.WZ_AES) as archive:
        archive.setpassword(b"secret")
        for path in sorted(Path(release_of(small)).rglob("*.*")):
            archive.write(path, path.relative_to(release_of(small)).as_posix())
    report = make_embeddings(str(small), Mean(), {"train": str(tmp_path / "train.zip")}, jobs=jobs, password="secret")
    assert report.num_vectors == 4


def test_missing_and_broken_photos_are_left_out_and_named(small: Path) -> None:
    image = Path(release_of(small), "train", "image")
    (image / "000001.jpg").write_bytes(b"no photo")
    (image / "000003.jpg").unlink()
    report = make_embeddings(str(small), Mean(), release_of(small))
    assert (report.num_vectors, report.num_missing) == (1, 3)
    (notice,) = report.notices
    assert notice.startswith(
        "2 photos missing, damaged or another than the registry has, so that 3 items got no vector ("
    )
    assert "train/image/000001.jpg: no JPEG, PNG or WebP; train/image/000003.jpg is not among the photos" in notice
    assert [row[:2] for row in vectors(small)] == [(2, 1)]


def test_photos_of_another_size_are_left_out(small: Path) -> None:
    Path(release_of(small), "train", "image", "000002.jpg").write_bytes(halves(100, 100))
    (notice,) = make_embeddings(str(small), Mean(), release_of(small)).notices
    assert "train/image/000002.jpg has 100 x 100 px, and 200 x 240 px in the registry" in notice


def test_items_without_area_are_left_out_and_named(tmp_path: Path) -> None:
    none, outside = item(9, bounding_box=[5, 5, 5, 5]), item(9, bounding_box=[50, 5, 60, 9])
    train = write_split(
        tmp_path / "train", {1: annotation([item(bounding_box=[0, 0, 9, 9]), none, outside])}, {1: jpeg()}
    )
    ingest("train", str(train), str(tmp_path / "registry"), jobs=1)
    report = make_embeddings(str(tmp_path / "registry"), Mean(), str(tmp_path))
    assert report.num_vectors == 1
    assert report.notices == [
        "2 items got no vector, as the box has no area within the photo (train/000001 item 2; train/000001 item 3)"
    ]


def test_without_any_photo_nothing_is_changed(small: Path) -> None:
    before = (small / MANIFEST_NAME).read_bytes()
    for path in Path(release_of(small), "train", "image").iterdir():
        path.unlink()
    with pytest.raises(SourceError, match="No item has a vector, and nothing was changed: 3 photos missing"):
        make_embeddings(str(small), Mean(), release_of(small))
    assert (small / MANIFEST_NAME).read_bytes() == before


@pytest.mark.parametrize(
    ("embedder", "text"),
    [
        (Short(), "The embedder short returned an array (4, 3) for a batch of 4 crops that begins with train/000001"),
        (Zero(), "The embedder zero returned a vector of zeros, or with numbers that are not finite, for train/000001"),
        (Leaving(), "The embedder leaving failed on a batch of 4 crops that begins with train/000001"),
        (Complex(), "TypeError: expected an array of numbers, found complex64"),
        (Tiny(), "for train/000001 item 1: expected finite numbers up to 1e15, not all below 1e-30"),
        (Failing(), "The embedder failing failed on a batch of 4 crops that begins with train/000001 item 1: "
         "RuntimeError: out of memory"),
    ],
    ids=["short", "zero", "leaving", "complex", "tiny", "failing"],
)  # fmt: skip
def test_an_embedder_that_fails_changes_nothing(small: Path, embedder: Any, text: str) -> None:
    before = (small / MANIFEST_NAME).read_bytes()
    # A wrong array is an error of the same function in a worker: one of them is enough there.
    for jobs in (1,) if isinstance(embedder, Zero | Complex | Tiny) else (1, 2):
        with pytest.raises(UsageError) as raised:
            make_embeddings(str(small), embedder, release_of(small), jobs=jobs)
        assert text in str(raised.value)
        assert (small / MANIFEST_NAME).read_bytes() == before


def test_a_model_that_is_there_is_told_before_photos_are_read(small: Path) -> None:
    make_embeddings(str(small), Mean(), release_of(small))
    with pytest.raises(ConflictError, match="has vectors of a model mean: expected another name, or --replace"):
        make_embeddings(str(small), Mean(), "/no/such/place")
    assert make_embeddings(str(small), Mean(), release_of(small), replace=True).num_vectors == 4


def test_replacing_a_split_does_not_lose_another(small: Path) -> None:
    validation = write_split(Path(release_of(small), "validation"), {1: annotation()}, {1: jpeg(200, 240)})
    ingest("validation", str(validation), str(small), jobs=1)
    assert make_embeddings(str(small), Mean(), release_of(small)).num_vectors == 5
    with pytest.raises(UsageError, match="The vectors of mean in validation would be lost"):
        make_embeddings(str(small), Mean(), release_of(small), splits=["train"], replace=True)
    assert make_embeddings(str(small), Mean(), release_of(small), splits=["train"], model="part").num_vectors == 4


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"embedder": "color-texture"}, UnknownNameError, "Did you mean 'colour-texture'"),
        ({"splits": ["validation"]}, UnknownNameError, "has no validation; there is: train"),
        ({"model": "a/b"}, UsageError, "cannot name a model"),
        ({"dtype": "int8"}, UsageError, "Unknown type of vectors 'int8'"),
        ({"photos": "/no/such/place"}, (StorageError, SourceError), "/no/such/place"),
    ],
)
def test_bad_words_are_refused(small: Path, options: dict[str, Any], error: Any, text: str) -> None:
    words = {"embedder": "colour-texture", "photos": release_of(small), **options}
    with pytest.raises(error, match=text):
        make_embeddings(str(small), **words)


def test_an_embedder_that_writes_into_its_arrays_spoils_no_vector(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(make, "_BATCH", 1)
    make_embeddings(str(small), Mean(), release_of(small))
    make_embeddings(str(small), Careless(), release_of(small))
    assert vectors(small, "careless") == vectors(small)


def test_overlapping_crops_are_apart(small: Path) -> None:
    box = {"bounding_box": [0, 10, 150, 200]}
    write_split(small.parent / "release" / "train", {1: annotation([item(1, **box), item(9, **box)])}, {})
    ingest("train", str(small.parent / "release" / "train"), str(small), jobs=1)

    class Clearing(Mean):
        def embed(self, crops: Any) -> Any:
            means = []
            for crop in crops:
                means.append(super().embed([crop])[0])
                crop[:] = 0
            return means

    make_embeddings(str(small), Clearing(), release_of(small))
    first, second, *_ = vectors(small)
    assert first[2] == second[2]


@pytest.mark.parametrize(
    ("attribute", "value"),
    [
        ("name", 3),
        ("dimensions", 0),
        ("dimensions", "5"),
        ("margin", float("nan")),
        ("margin", -1),
        ("crop", None),
        ("weights", 3),
    ],
)
def test_an_embedder_that_tells_of_itself_wrongly_is_refused(small: Path, attribute: str, value: Any) -> None:
    embedder = Mean()
    setattr(embedder, attribute, value)
    with pytest.raises(UsageError, match=rf"The {attribute} of the embedder: expected .*, found {value!r}"):
        make_embeddings(str(small), embedder, release_of(small))


def test_a_photo_of_other_bytes_than_the_registry_knows_gets_no_vector(small: Path) -> None:
    describe_photos("train", release_of(small) + "/train", str(small), jobs=1)
    photo = small.parent / "release" / "train" / "image" / "000002.jpg"
    photo.write_bytes(photo.read_bytes() + b" ")
    (notice,) = make_embeddings(str(small), Mean(), release_of(small)).notices
    assert "(train/image/000002.jpg is another file than the one that 'df2 photos describe' has read)" in notice


def test_an_item_that_changes_while_vectors_are_made_has_a_stale_vector(small: Path) -> None:
    release = small.parent / "release" / "train"

    class Late(Mean):
        def embed(self, crops: Any) -> Any:
            write_split(release, {2: annotation([item(8, bounding_box=[0, 10, 90, 200])])})
            (release / "annos" / "000003.json").unlink()
            ingest("train", str(release), str(small), jobs=1)
            return super().embed(crops)

    (notice,) = make_embeddings(str(small), Late(), release_of(small)).notices
    assert notice.startswith("1 row of no item of the registry left out (the first: row 3: train/3 item 1)")
    assert registry.open(str(small)).sql("FROM embedding_states").fetchall() == [("mean", "train", 2, 1, "stale")]


def test_an_embedder_of_a_plug_in_works_by_name_in_worker_processes(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    register(tmp_path / "plug-in", monkeypatch, {"mine": "tests.embeddings.toy_embedders:Mean"})
    assert make_embeddings(str(small), "mine", release_of(small), model="mine", jobs=2).num_vectors == 4


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_killed_run_leaves_nothing_in_the_registry(small: Path, tmp_path: Path) -> None:
    before = sorted(path.relative_to(small) for path in small.rglob("*"))
    program = f"""
import time
from registry.embeddings.make import make_embeddings
from tests.embeddings.toy_embedders import Mean

class Slow(Mean):
    def embed(self, crops):
        open({str(tmp_path / "began")!r}, "w").close()
        time.sleep(60)

make_embeddings({str(small)!r}, Slow(), {release_of(small)!r})
"""
    with subprocess.Popen([sys.executable, "-c", program]) as process:
        for _ in range(600):
            if (tmp_path / "began").exists():
                break
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert (tmp_path / "began").exists()
    assert sorted(path.relative_to(small) for path in small.rglob("*")) == before
    assert make_embeddings(str(small), Mean(), release_of(small)).num_vectors == 4
