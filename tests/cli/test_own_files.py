"""Devices, pipes and files of the user are not replaced or removed; no file is left half-written."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from tests.cli.conftest import Run
from tests.helpers import annotation, jpeg, write_split

MARK = "# df2 ingest: issues of train\n"


def ingest(run: Run, source: Path, issues: object) -> tuple[int, str]:
    """Ingest a split without photos and with an issues file; return exit code and standard error."""
    result = run("ingest", source, "registry", "--split", "train", "--no-image-sizes", "-j", 1, "--issues", issues)
    return result.exit_code, result.stderr


@pytest.fixture
def bad_source(tmp_path: Path) -> Path:
    """Return a split with an empty annotation."""
    return write_split(tmp_path / "bad" / "train", {1: b"", 2: annotation()})


@pytest.fixture
def null(tmp_path: Path) -> Path:
    """Return a null device in the test's folder, so that a faulty command removes no real device."""
    path = tmp_path / "null"
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
        path.write_text("x")
    except OSError:
        pytest.skip("needs to be allowed to make a device")
    return path


@pytest.mark.parametrize("content", ["mine", "# df2 ingest", "#df2 ingest: issues of train\n", "\n" + MARK])
def test_a_file_of_the_user_is_an_error_before_the_ingestion(
    run: Run, small_source: Path, tmp_path: Path, content: str
) -> None:
    (tmp_path / "notes.txt").write_text(content)
    assert ingest(run, small_source, "notes.txt") == (
        2,
        "Error: notes.txt was not written by 'df2 ingest', so it is not replaced: move it away, or name another file "
        "with --issues.\n",
    )
    assert (tmp_path / "notes.txt").read_text() == content
    assert not (tmp_path / "registry").exists()


def test_a_file_of_an_earlier_run_is_replaced_and_removed(
    run: Run, small_source: Path, bad_source: Path, tmp_path: Path
) -> None:
    for _ in range(2):
        assert ingest(run, bad_source, "a/issues.txt")[0] == 3
        lines = (tmp_path / "a" / "issues.txt").read_text().splitlines(keepends=True)
        assert lines == [MARK, "train/annos/000001.json: the file is empty; expected one JSON object\n"]
    assert ingest(run, small_source, "a/issues.txt") == (0, "")
    assert not (tmp_path / "a" / "issues.txt").exists()
    (tmp_path / "empty.txt").touch()
    assert ingest(run, small_source, "empty.txt") == (0, "")
    assert (tmp_path / "empty.txt").exists()


def test_issues_are_written_to_a_device_that_is_kept(
    run: Run, small_source: Path, bad_source: Path, null: Path
) -> None:
    assert ingest(run, bad_source, null)[0] == 3
    assert ingest(run, small_source, null) == (0, "")
    assert null.is_char_device()


def test_an_ingestion_whose_issues_cannot_be_written_succeeds_with_a_warning(run: Run, bad_source: Path) -> None:
    command = ("ingest", bad_source, "registry", "--split", "train", "-j", 1, "--issues", "/dev/full")
    result = run(*command, "--on-error", "quarantine")
    assert result.exit_code == 0
    assert "train: 1 image, 1 item.\n" in result.stdout
    warning = "warning: The issues are not in a file: Cannot write /dev/full: No space left on device\n"
    assert result.stderr.startswith(warning)
    assert "All of them are in" not in result.stderr
    assert run(*command).exit_code == 3


def test_an_issues_file_below_a_file_is_an_error_before_the_ingestion(
    run: Run, small_source: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    code, message = ingest(run, small_source, "file/a/issues.txt")
    assert (code, message) == (4, f"Error: Cannot write file/a/issues.txt: {tmp_path}/file is no folder.\n")
    assert not (tmp_path / "registry").exists()


@pytest.mark.parametrize(
    "arguments",
    ["sql|SELECT 1 AS a|--format|csv|-o", "stats|--metrics", "fingerprint|SOURCE|--split|train|-o", "catalog"],
)
def test_a_device_and_a_pipe_are_written_to_and_kept(
    run: Run, small_source: Path, tmp_path: Path, null: Path, arguments: str
) -> None:
    words = arguments.replace("SOURCE", str(small_source)).split("|")
    before = sorted(os.listdir(tmp_path))
    assert run(*words, null).exit_code == 0
    assert null.is_char_device()
    assert sorted(os.listdir(tmp_path)) == before
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(
        [sys.executable, "-c", f"print(len(open({str(pipe)!r}, 'rb').read()))"], stdout=subprocess.PIPE
    ) as reader:
        result = run(*words, pipe)
        if result.exit_code != 0:
            reader.kill()
        assert result.exit_code == 0
        assert int(reader.communicate(timeout=20)[0]) > 0
    assert pipe.is_fifo()


def test_catalog_replaces_only_catalogs(run: Run, tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "other.duckdb")) as other:
        other.execute("CREATE TABLE items AS SELECT 1 AS a")
    (tmp_path / "notes.txt").write_text("mine")
    for name in ("other.duckdb", "notes.txt"):
        before = (tmp_path / name).read_bytes()
        result = run("catalog", name)
        assert result.exit_code == 2
        assert result.stderr == (
            f"Error: {name} is there and is not a catalog that 'df2 catalog' wrote: name another file, or replace it "
            "with --overwrite.\n"
        )
        assert (tmp_path / name).read_bytes() == before
        assert run("catalog", name, "--overwrite").exit_code == 0
    assert run("catalog", "other.duckdb", "--copy").exit_code == 0
    with duckdb.connect(str(tmp_path / "other.duckdb")) as catalog:
        assert catalog.execute("SELECT count(*) FROM instance_pairs").fetchall() == [(6,)]
        catalog.execute("CREATE TABLE mine AS SELECT 1 AS a")
    assert run("catalog", "other.duckdb").exit_code == 2
    assert run("catalog", "memory://catalogs/a.duckdb", "--copy").exit_code == 0
    assert run("catalog", "memory://catalogs/a.duckdb", "--copy").exit_code == 0


def test_catalog_at_a_url_replaces_only_catalogs(run: Run) -> None:
    import fsspec

    fsspec.filesystem("memory").pipe("/other/a.duckdb", b"mine")
    assert run("catalog", "memory://other/a.duckdb", "--copy").exit_code == 2
    assert fsspec.filesystem("memory").cat("/other/a.duckdb") == b"mine"


@pytest.mark.parametrize(
    "arguments",
    [
        ("ingest", "", "registry", "--split", "train"),
        ("ingest", "SOURCE", "", "--split", "train"),
        ("ingest", "SOURCE", "registry", "--split", "train", "--issues", ""),
        ("export", "csv", ""),
        ("sync", "SOURCE", ""),
        ("sync", "", "registry"),
        ("catalog", ""),
        ("sample", ""),
        ("verify", ""),
        ("manifest", ""),
        ("fingerprint", "SOURCE", "--split", "train", "-o", ""),
        ("stats", "-o", ""),
        ("stats", "--metrics", ""),
        ("stats", "--plots", ""),
        ("-r", "", "stats"),
        ("--cache", "", "stats"),
    ],
    ids=" ".join,
)
def test_an_empty_path_is_wrong_usage(run: Run, small_source: Path, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    before = sorted(os.listdir(tmp_path))
    result = run(*(str(small_source) if word == "SOURCE" else word for word in arguments))
    assert result.exit_code == 2
    assert "it is empty; expected a path" in result.stderr
    assert sorted(os.listdir(tmp_path)) == before


LOCAL_FILES = [
    ("stats", "--metrics"),
    ("stats", "--plots"),
    ("fingerprint", "SOURCE", "--split", "train", "-o"),
    ("sample", "--images", 6),
]


@pytest.mark.parametrize("arguments", LOCAL_FILES, ids=lambda words: words[-1])
def test_a_local_file_may_be_a_file_url_but_no_other_url(
    run: Run, small_source: Path, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    words = [str(small_source) if word == "SOURCE" else word for word in arguments]
    before = sorted(os.listdir(tmp_path))
    result = run(*words, "s3://ada:hunter2222@bucket/out")
    assert result.exit_code == 2
    assert "s3://ada:***@bucket/out is a URL; expected a local path" in " ".join(result.stderr.split())
    assert sorted(os.listdir(tmp_path)) == before
    assert run(*words, f"file://{tmp_path}/a%20b").exit_code == 0
    assert (tmp_path / "a b").exists()
    assert not (tmp_path / "file:").exists()


def test_rows_are_written_to_the_file_of_a_file_url(run: Run, tmp_path: Path) -> None:
    assert run("sql", "SELECT 1 AS a", "-o", f"file://{tmp_path}/a%20b.csv").exit_code == 0
    assert (tmp_path / "a b.csv").read_text() == "a\n1\n"


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_sample_refuses_an_existing_file_or_filled_folder(run: Run, tmp_path: Path, kind: str) -> None:
    if kind == "folder":
        (tmp_path / "there").mkdir()
        (tmp_path / "there" / "mine").write_text("x")
    else:
        (tmp_path / "there").write_text("x")
    assert run("sample", "there", "--images", 6).exit_code == 2
    assert sorted(path.name for path in tmp_path.rglob("*")) == (["mine", "there"] if kind == "folder" else ["there"])


def test_an_error_on_a_full_disk_names_the_file(run: Run, tmp_path: Path) -> None:
    result = run("stats", "--metrics", "/dev/full")
    assert (result.exit_code, result.stderr) == (4, "Error: Cannot write /dev/full: No space left on device\n")
    result = run("sql", "SELECT 1 AS a", "-o", "/dev/full", "--format", "csv")
    assert (result.exit_code, result.stderr) == (4, "Error: Cannot write /dev/full: No space left on device\n")


def _in_a_read_only_folder(tmp_path: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run ``df2`` in a working directory on a read-only file system, with a file of an earlier ingestion in it."""
    script = (
        'mount -t tmpfs none "$1" && printf "# df2 ingest: issues of train\\nold\\n" > "$1/df2-issues-train.txt" && '
        'mount -o remount,ro "$1" && cd "$1" && shift && exec "$@"'
    )
    (tmp_path / "fixed").mkdir(exist_ok=True)
    command = ["unshare", *([] if os.geteuid() == 0 else ["-r"]), "-m", "sh", "-c", script, "sh"]
    df2 = [sys.executable, "-m", "registry.cli.main", *map(str, arguments)]
    done = subprocess.run([*command, str(tmp_path / "fixed"), *df2], capture_output=True, text=True, check=False)
    if "unshare:" in done.stderr or "mount:" in done.stderr:
        pytest.skip("needs to be allowed to mount a file system")
    return done


def test_a_read_only_working_directory_hides_no_issue(bad_source: Path, tmp_path: Path) -> None:
    done = _in_a_read_only_folder(tmp_path, "ingest", bad_source, tmp_path / "r", "--split", "train", "-j", 1)
    assert done.returncode == 3
    assert "train/annos/000001.json: the file is empty; expected one JSON object" in done.stderr
    assert (
        "warning: The issues are not in a file: Cannot write df2-issues-train.txt: Read-only file system\n"
        "--issues FILE names another place for all of them.\n"
    ) in done.stderr


def test_a_read_only_working_directory_is_no_failure(small_source: Path, tmp_path: Path) -> None:
    (small_source / "image").mkdir()
    for file in (small_source / "annos").iterdir():  # without photos there is a notice, which is not on disk either
        (small_source / f"image/{file.stem}.jpg").write_bytes(jpeg())
    done = _in_a_read_only_folder(tmp_path, "ingest", small_source, tmp_path / "r", "--split", "train", "-j", 1)
    assert (done.returncode, done.stdout) == (0, "train: 5 images, 8 items.\n")
    assert done.stderr == (
        "warning: The issues of an earlier run are out of date: Cannot write df2-issues-train.txt: Read-only file "
        "system\n"
    )
    named = ("--issues", "x.txt")
    done = _in_a_read_only_folder(tmp_path, "ingest", small_source, tmp_path / "r", "--split", "train", *named)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("Error: Cannot write x.txt: no permission to write in ")
