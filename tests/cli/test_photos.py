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
    assert result.stdout == f"open.zip: {len(members)} files, {sum(map(len, members.values())):,} bytes.\n"
    result = run("photos", "unlock", "open.zip", "again", "-j", 1)
    assert result.stderr == "note: open.zip is not protected: its files were copied as they are\n"
    assert files_in(tmp_path / "again") == members
    result = run("photos", "unlock", protected, "open.zip")
    assert (result.exit_code, result.stderr) == (
        2,
        "Error: open.zip exists and is not replaced: name another place, or remove it first.\n",
    )
    assert ingest("train", "open.zip", str(tmp_path / "r"), jobs=1).images == len(SMALL_SPLIT)
