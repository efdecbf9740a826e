"""The table photos: what it says of real photos in every kind of place, and that nothing is read twice."""

from __future__ import annotations

import hashlib
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest
from PIL import Image, ImageFilter

import registry
from registry.errors import SourceError, UnknownNameError
from registry.ingest import describe as describe_module
from registry.ingest.build import ingest
from registry.ingest.describe import DescribeReport, describe_photos
from registry.ingest.photo_measures import Measures, measure_photo
from registry.snapshot.manifest import read_manifest, rebuild_manifest
from registry.snapshot.sync import sync
from registry.snapshot.verify import verify_registry
from registry.storage.place import Place
from tests.helpers import SMALL_SPLIT, make_version_1, photo, write_split
from tests.sources.packing import files_in, write_tar, write_zip, write_zipcrypto
from tests.waiting import until_empty

SECRET = "marker-Geheimnis-7391"


def drawn(seed: int, size: tuple[int, int] = (60, 80), quality: int = 90) -> bytes:
    """Return a JPEG of coloured stripes, other ones for each seed."""
    image = Image.effect_noise(size, 20 + seed).filter(ImageFilter.GaussianBlur(3)).convert("RGB")
    image.paste((seed * 37 % 256, 80, 120), (seed % 40, 10, seed % 40 + 15, 60))
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


PHOTOS: dict[int | str, bytes] = {image_id: drawn(int(image_id)) for image_id in SMALL_SPLIT}
BROKEN: dict[int | str, bytes] = PHOTOS | {3: PHOTOS[3][: len(PHOTOS[3]) // 2], 7: b"no photo"}


@pytest.fixture
def release(tmp_path: Path) -> Path:
    write_split(tmp_path / "release" / "train", SMALL_SPLIT, PHOTOS)
    return tmp_path / "release"


@pytest.fixture
def target(release: Path, tmp_path: Path) -> str:
    ingest("train", str(release), str(tmp_path / "registry"), jobs=1)
    return str(tmp_path / "registry")


def describe(source: object, target: str, **options: Any) -> DescribeReport:
    return describe_photos("train", str(source), target, **{"jobs": 1, **options})


def rows(target: str) -> list[tuple[Any, ...]]:
    return registry.open(target).sql("SELECT * FROM photos ORDER BY ALL").fetchall()


def expected_rows(photos: dict[int | str, bytes]) -> list[tuple[Any, ...]]:
    return [("train", image_id, *measure_photo(data)[0]) for image_id, data in photos.items()]


def test_checks_and_subsets_name_the_splits_whose_photos_were_not_described(release: Path, target: str) -> None:
    write_split(release / "validation", SMALL_SPLIT, PHOTOS)
    ingest("validation", str(release), target, jobs=1)
    describe(release, target)
    df2 = registry.open(target)
    of_check = "no photo of validation is described: dark-picture sees nothing odd in validation"
    assert registry.check(df2, only="dark-picture").notices == [f"{of_check}; run 'df2 photos describe'"]
    of_subset = "no photo of validation is described, so the check dark-picture leaves out none of validation"
    assert of_subset in df2.select(exclude_check="dark-picture").notices
    train = df2.select(exclude_check="dark-picture", split="train")
    assert not any("described" in notice for notice in train.notices)
    assert registry.check(df2, only="dark-picture", subset={"split": "train"}).notices == []


def test_photos_are_described_and_readers_find_them(release: Path, target: str) -> None:
    assert rows(target) == []
    report = describe(release, target)
    assert (report.photos, report.read, report.issues, report.notices) == (5, 5, [], [])
    assert rows(target) == expected_rows(PHOTOS)
    assert rows(target)[0][2] == hashlib.sha256(PHOTOS[1]).hexdigest()
    assert verify_registry(Place(target)).is_whole
    place = Place(target)
    assert rebuild_manifest(place) == read_manifest(place)


@pytest.mark.parametrize("form", ["train.zip", "locked.zip", "train.tar", "remote"])
def test_every_kind_of_place_gives_the_same_rows(form: str, release: Path, target: str, tmp_path: Path) -> None:
    members = {f"train/{name}": data for name, data in files_in(release / "train").items()}
    source = str(tmp_path / form)
    if form == "remote":
        source = "memory://described"
        fsspec.filesystem("memory").pipe({f"/described/{name}": data for name, data in members.items()})
    elif form == "locked.zip":
        write_zipcrypto(tmp_path / form, members, SECRET)
    else:
        (write_tar if form.endswith("tar") else write_zip)(tmp_path / form, members)
    assert describe(source, target, password=SECRET).read == 5
    assert rows(target) == expected_rows(PHOTOS)
    assert describe(source, target, password=SECRET).read == 0
    assert rows(target) == expected_rows(PHOTOS)


def test_a_registry_at_a_remote_place_has_the_table(release: Path, tmp_path: Path) -> None:
    target = "memory://photos-registry"
    ingest("train", str(release), target, jobs=1)
    assert describe(release, target, cache=str(tmp_path / "cache")).read == 5
    assert describe(release, target, cache=str(tmp_path / "cache")).read == 0
    assert describe(release, target).read == 5  # without a cache nothing is kept
    assert rows(target) == expected_rows(PHOTOS)
    sync(Place(target), Place(str(tmp_path / "copy")))
    assert rows(str(tmp_path / "copy")) == expected_rows(PHOTOS)


def test_broken_photos_are_named_and_have_nulls_while_the_others_are_described(release: Path, target: str) -> None:
    write_split(release / "train", {}, BROKEN)
    for num_read in (5, 0):  # a broken photo that did not change is not read again either
        report = describe(release, target)
        assert report.read == num_read
        truncated, foreign = map(str, report.issues)
        assert truncated.startswith("train/image/000003.jpg: cannot be decoded: ")
        assert foreign.startswith("train/image/000007.jpg: expected the header of a JPEG, PNG or WebP")
        nulls = (None,) * 7
        assert rows(target)[2] == ("train", 3, hashlib.sha256(BROKEN[3]).hexdigest(), *nulls)
        assert rows(target)[4] == ("train", 7, hashlib.sha256(BROKEN[7]).hexdigest(), *nulls)


def test_a_photo_that_leads_out_of_its_folder_is_named(release: Path, target: str, tmp_path: Path) -> None:
    (tmp_path / "outside.jpg").write_bytes(PHOTOS[3])
    path = release / "train" / "image" / "000003.jpg"
    path.unlink()
    path.symlink_to(tmp_path / "outside.jpg")
    report = describe(release, target)
    assert [issue.file for issue in report.issues] == ["train/image/000003.jpg"]
    assert rows(target)[2] == ("train", 3, *(None,) * 8)
    assert describe(release, target, follow_links=True).issues == []


def test_only_new_and_changed_photos_are_read_again(release: Path, target: str) -> None:
    describe(release, target)
    changed = PHOTOS | {2: drawn(50), 20: drawn(20)}
    write_split(release / "train", {}, {2: changed[2], 20: changed[20]})
    (release / "train" / "image" / "000007.jpg").unlink()
    del changed[7]
    report = describe(release, target)
    assert (report.photos, report.read) == (5, 2)
    assert rows(target) == expected_rows(changed)


def test_a_run_that_was_ended_goes_on_where_it_stopped(
    release: Path, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(describe_module, "_CHUNK", 1)

    def stop(done: int, _: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        describe(release, target, progress=stop)
    assert rows(target) == []
    assert describe(release, target).read == 2
    assert rows(target) == expected_rows(PHOTOS)


def test_a_process_ended_by_kill_9_keeps_what_it_read(release: Path, target: str) -> None:
    number = 2_000
    write_split(release / "train", {}, dict.fromkeys(range(100, 100 + number), drawn(1, (400, 500))))
    command = [sys.executable, "-m", "registry.cli.main", "-r", target, "photos", "describe", "-j", "1"]
    process = subprocess.Popen([*command, "--photos", str(release)])
    journal = Path(target, ".df2", "described", "train-1.jsonl")
    assert not until_empty(lambda: not (journal.exists() and journal.stat().st_size > 10_000), 60)
    process.kill()
    process.wait()
    assert rows(target) == []
    with journal.open("ab") as file:
        file.write(b'["000007.jpg", [1, 2')  # a line that the kill cut
    report = describe(release, target)
    assert report.photos - report.read > 0
    assert report.photos == number + 5
    assert rows(target)[:5] == expected_rows(PHOTOS)


def test_damaged_lines_of_the_journal_are_read_again(release: Path, target: str) -> None:
    describe(release, target)
    journal = Path(target, ".df2", "described", "train-1.jsonl")
    lines = journal.read_bytes().splitlines()
    lines[1] = lines[1][:40]
    lines[2] = b"\xff\x00"
    journal.write_bytes(b"\n".join([*lines, b"{}", b'["000004.jpg", 7]']) + b"\n")
    assert describe(release, target).read == 3
    assert rows(target) == expected_rows(PHOTOS)


def test_an_ingestion_keeps_the_rows_of_unchanged_photos_and_removes_those_of_changed_ones(
    release: Path, target: str
) -> None:
    describe(release, target)
    annotated = {**SMALL_SPLIT}
    del annotated[2]
    (release / "train" / "annos" / "000002.json").unlink()
    report = ingest("train", str(release), target, jobs=1)
    assert not [notice for notice in report.notices if "describe" in notice]
    assert rows(target) == expected_rows(PHOTOS)
    write_split(release / "train", {}, {4: drawn(60)})
    report = ingest("train", str(release), target, jobs=1)
    assert [notice for notice in report.notices if "describe" in notice] == [
        "train: the photos are not known to be those that 'df2 photos describe' read, or come from another kind of "
        "place: their 5 rows left the table photos; run it again"
    ]
    assert rows(target) == []
    assert describe(release, target).read == 1


def test_ingestions_of_other_splits_and_of_sources_without_photos_keep_the_rows(
    release: Path, target: str, tmp_path: Path
) -> None:
    describe(release, target)
    ingest("validation", str(write_split(tmp_path / "other" / "validation", SMALL_SPLIT)), target, jobs=1)
    ingest("train", str(write_split(tmp_path / "other" / "train", SMALL_SPLIT)), target, jobs=1)
    ingest("train", str(release), target, jobs=1, image_sizes=False)
    assert rows(target) == expected_rows(PHOTOS)
    assert verify_registry(Place(target)).is_whole


def test_any_number_of_processes_gives_the_same_bytes(release: Path, target: str, tmp_path: Path) -> None:
    write_split(release / "train", {}, {k: drawn(k) for k in range(100, 400)})
    sync(Place(target), Place(str(tmp_path / "copy")))
    steps: list[tuple[int, int]] = []
    describe(release, target, jobs=2, progress=lambda *counts: steps.append(counts))
    assert steps[-1] == (305, 305)
    describe(release, str(tmp_path / "copy"))
    assert read_manifest(Place(target)) == read_manifest(Place(str(tmp_path / "copy")))


def test_a_registry_of_schema_version_1_gets_the_table(release: Path, target: str) -> None:
    make_version_1(Path(target))
    assert rows(target) == []
    describe(release, target)
    assert rows(target) == expected_rows(PHOTOS)


def test_sources_without_photos_are_a_notice_and_missing_splits_an_error(
    release: Path, target: str, tmp_path: Path
) -> None:
    report = describe(write_split(tmp_path / "bare" / "train", SMALL_SPLIT), target)
    assert report.notices == [
        "train: no photos were found in image/, so the table photos has no rows of train; --photos RELEASE names "
        "another place"
    ]
    members = {f"train/{name}": data for name, data in files_in(release / "train").items()}
    report = describe(write_tar(tmp_path / "train.tar.gz", members), target)
    assert report.notices[0].startswith(
        "train: photos cannot be taken one by one out of a compressed tar, so the table"
    )
    with pytest.raises(UnknownNameError, match=r"has no test; there is: train\. Ingest it first, with 'df2 ingest'\."):
        describe_photos("test", str(release), target, jobs=1)
    with pytest.raises(SourceError):
        describe(tmp_path / "nowhere", target)


def test_the_measures_are_what_they_are_declared_to_be() -> None:
    left_to_right = Image.linear_gradient("L").rotate(90)  # black to white
    out = io.BytesIO()
    left_to_right.save(out, "PNG")
    measures, fault = measure_photo(out.getvalue())
    assert fault is None
    assert measures[1:5] == (-1, 256, 256, None)
    assert (measures.brightness, measures.brightness_spread, measures.sharpness) == (127.5, 73.9, 0.0)
    out = io.BytesIO()
    Image.new("RGB", (4, 4), "white").save(out, "PNG")
    assert measure_photo(out.getvalue())[0][1:] == (0, 4, 4, None, 255.0, 0.0, 0.0)
    assert measure_photo(photo(40, 30, orientation=6))[0].orientation == 6
    dot = Image.new("L", (5, 3))
    dot.putpixel((1, 1), 100)
    out = io.BytesIO()
    dot.save(out, "PNG")
    assert measure_photo(out.getvalue())[0].sharpness == 46_666.667  # of 400, -100 and 0


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_photos_of_any_size_and_kind_are_measured(format: str) -> None:
    for size in ((1, 1), (2, 9), (1281, 1300), (3000, 5200)):
        measures, fault = measure_photo(photo(*size, format=format))
        assert (fault, measures.width, measures.height, measures.brightness) == (None, *size, 255.0)


def test_a_photo_of_too_many_pixels_is_not_decoded() -> None:
    huge = bytearray(photo(10, 10, format="PNG"))
    huge[16:24] = (60_000).to_bytes(4, "big") * 2
    measures, fault = measure_photo(bytes(huge))
    assert measures == Measures(hashlib.sha256(huge).hexdigest())
    assert fault == "expected at most 80,000,000 pixels, found 60,000 x 60,000"


def test_a_photo_saved_again_keeps_nearly_all_bits_of_its_hash() -> None:
    for seed in range(20):
        picture = Image.effect_noise((5, 6), 60 + seed).resize((400, 500), Image.Resampling.BICUBIC)
        files = io.BytesIO(), io.BytesIO()
        picture.save(files[0], "JPEG", quality=95)
        picture.resize((320, 400)).save(files[1], "JPEG", quality=70)
        first, second = (measure_photo(file.getvalue())[0].dhash for file in files)
        assert first is not None and second is not None
        assert (first ^ second).bit_count() <= 4
