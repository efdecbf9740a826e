"""``df2 report``: where it writes, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import fsspec
import pytest

from tests.cli.conftest import Run
from tests.helpers import jpeg

pytest.importorskip("altair", reason="needs the extra report")
pyzipper = pytest.importorskip("pyzipper", reason="needs the extra zip")


def test_the_page_is_one_file_in_folders_that_are_created(run: Run, tmp_path: Path) -> None:
    result = run("report", "pages/today/report.html")
    assert result.exit_code == 0, result.output
    assert re.match(r"Wrote pages/today/report\.html \(\d+ kB\)\.\n", result.stderr) and result.stdout == ""
    assert [path.name for path in (tmp_path / "pages/today").iterdir()] == ["report.html"]
    html = (tmp_path / "pages/today/report.html").read_text(encoding="utf-8")
    assert html.startswith("<!DOCTYPE html>") and str(tmp_path) not in html


def test_a_page_is_written_to_a_url(run: Run) -> None:
    assert run("report", "memory://pages/report.html").exit_code == 0
    assert fsspec.filesystem("memory").cat("/pages/report.html").startswith(b"<!DOCTYPE html>")


@pytest.mark.parametrize(
    ("dest", "message"),
    [
        (".", ". is a folder; expected a file in it, such as ./report.html."),
        ("new/", "new/ is a folder; expected a file in it, such as new/report.html."),
        ("folder.html", "folder.html is a folder; expected a file in it, such as folder.html/report.html."),
        ("report.pdf", "expected a name that ends in .html, found report.pdf."),
        ("", "it is empty; expected a path."),
    ],
)
def test_a_destination_that_is_no_page_is_refused_before_any_work(
    run: Run, tmp_path: Path, dest: str, message: str
) -> None:
    (tmp_path / "folder.html").mkdir()
    result = run("report", dest, registry="/nowhere")
    assert result.exit_code == 2
    assert result.stderr.endswith(f"Error: Invalid value for 'DEST.html': {message}\n")
    assert [path.name for path in tmp_path.iterdir()] == ["folder.html"]


def test_a_folder_that_cannot_be_created_is_one_message(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = run("report", "file/report.html")
    assert result.exit_code == 4
    assert result.stderr == "Error: Cannot write file: File exists\n"


def test_the_other_version_is_named_without_its_folders(run: Run, three_splits: Path, tmp_path: Path) -> None:
    result = run("report", "report.html", "--against", three_splits, "--split", "train")
    assert result.exit_code == 0, result.output
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "What changed since registry" in html
    assert "df2 report report.html --split train --against registry" in html
    assert str(three_splits.parent) not in html


def test_a_photo_that_the_named_release_lacks_is_bad_input_and_the_page_is_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "release/train/image").mkdir(parents=True)
    result = run("report", "report.html", "--photos", "release", "--split", "train")
    assert result.exit_code == 3
    assert "warning: " in result.stderr and "plain canvas" in result.stderr
    assert (tmp_path / "report.html").exists()


def test_photos_behind_a_password_that_nobody_gave_are_left_out_unless_they_are_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("splits: {train: {source: release}}")
    (tmp_path / "release").mkdir()
    with pyzipper.AESZipFile(tmp_path / "release/train.zip", "w", encryption=pyzipper.WZ_AES) as bundle:
        bundle.setpassword(b"secret")
        bundle.writestr("train/image/000001.jpg", jpeg())
    result = run("report", "report.html", "--split", "train")
    assert result.exit_code == 0 and "note: the page shows no photos: " in result.stderr
    result = run("report", "named.html", "--split", "train", "--photos", "release")
    assert result.exit_code == 3 and not (tmp_path / "named.html").exists()


def test_an_other_version_that_does_not_exist_leaves_nothing(run: Run, tmp_path: Path) -> None:
    result = run("report", "report.html", "--against", "v9.9")
    assert result.exit_code == 1 and "There is no folder v9.9" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_predictions_that_cannot_be_evaluated_leave_no_page(run: Run, tmp_path: Path) -> None:
    record = {"image_id": 1, "category_id": 7, "score": 0.5, "bbox": [1, 2, 30, 40]}
    Path("predictions.json").write_text(json.dumps([record]))
    arguments = ["report", "report.html", "--split", "validation", "--predictions", "predictions.json"]
    assert run(*arguments).exit_code == 0
    assert '<section id="evaluation"' in Path("report.html").read_text(encoding="utf-8")
    Path("report.html").unlink()
    Path("predictions.json").write_text(json.dumps([record | {"image_id": 999}]))
    result = run(*arguments)
    assert result.exit_code == 3 and "predictions.json has records that cannot be evaluated" in result.stderr
    assert not Path("report.html").exists()
