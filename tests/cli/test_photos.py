"""``df2 photos unlock`` on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from registry.ingest.build import ingest
from tests.cli.conftest import Run
from tests.helpers import SMALL_SPLIT, jpeg, write_split
from tests.sources.packing import files_in, write_zipcrypto

SECRET = "marker-Geheimnis-7391"


def test_an_unlocked_zip_is_told_and_ingested(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    members = files_in(write_split(tmp_path / "train", SMALL_SPLIT, {k: jpeg() for k in SMALL_SPLIT}))
    protected = write_zipcrypto(tmp_path / "locked.zip", members, SECRET)
    result = run("photos", "unlock", protected, "open.zip", "-j", 1)
    assert (result.exit_code, result.stdout) == (3, "")
    assert "locked.zip is protected: set DF2_ZIP_PASSWORD" in result.stderr
    monkeypatch.setenv("DF2_ZIP_PASSWORD", SECRET)
    result = run("photos", "unlock", protected, "open.zip", "-j", 1)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"open.zip: {len(members)} files, {sum(map(len, members.values())) / 1e3:.3g} kB.\n"
    result = run("photos", "unlock", "open.zip", "again", "-j", 1)
    assert result.stderr == "note: open.zip is not protected: its files were copied as they are\n"
    assert files_in(tmp_path / "again") == members
    result = run("photos", "unlock", protected, "open.zip")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: open.zip exists and is not replaced: name another place, or remove it first.\n",
    )
    assert ingest("train", "open.zip", str(tmp_path / "r"), jobs=1).images == len(SMALL_SPLIT)


def test_photos_are_described_and_broken_ones_are_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_split(tmp_path / "release" / "train", SMALL_SPLIT, {k: jpeg(30 + int(k)) for k in SMALL_SPLIT})
    ingest("train", "release", "described", jobs=1)
    write_split(tmp_path / "release" / "train", {}, {3: b"no photo"})
    result = run("-r", "described", "photos", "describe", "-j", 1)
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: No place of the photos of train is known: name it with --photos RELEASE.\n",
    )
    Path("params.yaml").write_text("splits:\n  train: {source: release}\n")
    result = run("-r", "described", "photos", "describe", "-j", 1)
    assert (result.exit_code, result.stdout) == (0, "train: 5 photos described.\n")
    assert result.stderr.startswith("1 issue:\n  train/image/000003.jpg: expected the header of a JPEG, PNG or WebP")
    result = run("-r", "described", "photos", "describe", "--split", "train", "--photos", "release", "-j", 1)
    assert result.stdout == "train: 5 photos described, 5 of them unchanged and not read again.\n"
    Path("params.yaml").unlink()
    monkeypatch.setenv("DF2_PHOTOS", "release")
    result = run("-r", "described", "photos", "describe", "-j", 1)
    assert result.stdout == "train: 5 photos described, 5 of them unchanged and not read again.\n"
    result = run("-r", "described", "sql", "SELECT count(*), count(dhash) FROM photos", "--format", "csv")
    assert result.stdout.splitlines()[1] == "5,4"
    result = run("-r", "described", "photos", "describe", "--split", "test", "--photos", "release")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("Error: described has no test; there is: train.")


def test_checks_get_more_memory_where_photos_are_described(run: Run, tmp_path: Path) -> None:
    """Photos that look alike need 1 GB at full size; 128 MB are enough for all other checks."""
    write_split(tmp_path / "train", SMALL_SPLIT, {k: jpeg(30 + int(k)) for k in SMALL_SPLIT})
    ingest("train", "train", "described", jobs=1)
    Path("my").mkdir()
    Path("my/little-memory.sql").write_text(
        "-- One row per limit of 128 MB.\n-- key: split, image_id\n-- severity: note\n-- source: settings\n"
        "SELECT 'train' AS split, 1 AS image_id WHERE current_setting('memory_limit') = '122.0 MiB'\n"
    )
    Path("params.yaml").write_text("checks: {folders: [my]}")
    words = ("-r", "described", "check", "--only", "little-memory", "--format", "csv")
    assert run(*words).stdout.splitlines()[1] == "little-memory,note,1,,True"
    run("-r", "described", "photos", "describe", "--photos", "train", "-j", 1)
    assert run(*words).stdout.splitlines()[1] == "little-memory,note,0,,True"
    assert run(*words, "--memory", "128MB").stdout.splitlines()[1] == "little-memory,note,1,,True"
