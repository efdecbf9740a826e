"""Places: paths and URLs that are understood, and those that are refused before anything is created."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import fsspec
import pytest

import registry
from registry.errors import RegistryError, StorageError, UsageError
from registry.exports.manifest import verify_export
from registry.ingest.build import ingest
from registry.snapshot.verify import verify_registry
from registry.storage.paths import local_path, trimmed
from registry.storage.place import Place
from tests.exports.releases import run_export
from tests.sources.packing import files_in

REFUSED = {
    "": r"Expected a path or URL, found an empty text\. The current folder is '\.'",
    "a\0b": "zero byte",
    "a::b": r"'::' joins file systems.*'a' in 'a::b' is none",
    "/data/a::b": "is none",
    "zip::a::b": "'a' in",
    "s3://": "names no folder",
    "memory:///": "names no folder",
    "s3:/bucket/a": "expected two slashes",
    "file:/a": "expected two slashes",
    "file://host/a": r"the computer 'host': expected file:///PATH",
    "file://a": "the computer 'a'",
    "file://": "names no file",
    "file:///a%00b": "names no file",
    "file:///100%": "'%' that escapes nothing",
    "file:///a%2": "'%' that escapes nothing",
    "~nobody-of-this-name/a": r"there is no user 'nobody-of-this-name'\. A folder of that name is \./~nobody",
    "a\udcff": r"a\\udcff is not UTF-8",
    "file:///a%ff": r"/a\\udcff is not UTF-8",
}


@pytest.mark.parametrize("url", REFUSED)
def test_ambiguous_places_are_refused_and_nothing_is_created(
    url: str, exportable: Path, release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for use in (
        lambda: local_path(url),
        lambda: Place(url),
        lambda: run_export(exportable, "csv", url),
        lambda: ingest("train", str(release), url, jobs=1),
    ):
        with pytest.raises(UsageError, match=REFUSED[url]):
            use()
    assert list(tmp_path.iterdir()) == []


def test_paths_are_absolute_and_urls_of_files_are_read_as_the_standard_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/someone")
    for url, expected in {
        ".": str(tmp_path),
        "./": str(tmp_path),
        "a//b/": f"{tmp_path}/a/b",
        "//a/b": "/a/b",
        "///a": "/a",
        "/": "/",
        "~": "/home/someone",
        "./~": f"{tmp_path}/~",
        "100%": f"{tmp_path}/100%",
        "a%20b": f"{tmp_path}/a%20b",
        "file:///a%20b/%5B": "/a b/[",
        "file://localhost/a": "/a",
        "file:///": "/",
        "host:/srv/repo.git": f"{tmp_path}/host:/srv/repo.git",
    }.items():
        assert str(local_path(trimmed(url))) == str(local_path(url)) == expected
    assert local_path((tmp_path / "ü [x]%25#?").as_uri()) == tmp_path / "ü [x]%25#?"
    assert trimmed("s3://bucket/a//") == "s3://bucket/a"


def test_a_chained_url_is_a_single_place(small_registry: Path, tmp_path: Path) -> None:
    fs = fsspec.filesystem("memory")
    fs.store.clear()
    sent = Place("memory://chained")
    for path in Place(str(small_registry)).list(""):
        sent.write(path, (small_registry / path).read_bytes())
    assert verify_registry(Place("simplecache::memory://chained")).is_whole
    fs.store.clear()


@pytest.mark.parametrize(
    "name",
    [
        "v[12]",
        "a*b?",
        "it's",
        'say "x"',
        "back\\slash",
        "new\nline",
        "tab\t",
        "ü😀",
        " ",
        "-",
        "%41",
        "{x}",
        "#",
        "$(x)",
    ],
)
def test_folders_with_odd_names_hold_registries_and_exports(
    name: str, small_source: Path, release: Path, tmp_path: Path
) -> None:
    (tmp_path / "v1").mkdir()  # which v[12] would find too
    folder = tmp_path / name / name
    ingest("train", str(small_source), str(folder), jobs=1)
    ingest("train", str(small_source), str(folder), jobs=1)
    assert verify_registry(Place(str(folder))).is_whole
    for overwrite in (False, True):
        run_export(tmp_path / name / name, "csv", tmp_path / name / "out", overwrite=overwrite)
    assert verify_export(Place(str(tmp_path / name / "out"))).is_whole
    assert sorted(os.listdir(tmp_path / name)) == sorted([name, "out"])


@pytest.fixture
def shared() -> Iterator[Path]:
    """Yield a folder that every user may look into."""
    with tempfile.TemporaryDirectory(prefix="df2-test-") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)
        for name in os.listdir(folder):
            os.chmod(Path(folder, name), 0o755)


def error_of_ordinary_user(run: Callable[[], object]) -> str:
    """Return what a call raises in a process without the rights of root."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.seteuid(65534)
        try:
            run()
            text = "nothing"
        except BaseException as error:  # noqa: BLE001 (told to the parent)
            text = f"{type(error).__name__}: {error}"
        os.write(writing, text.encode())
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as told:
        text = told.read().decode()
    os.waitpid(child, 0)
    return text


@pytest.mark.parametrize("mode", [0o555, 0o000], ids=["read-only", "untraversable"])
def test_a_folder_without_permission_is_a_clear_error(mode: int, shared: Path) -> None:
    closed = shared / "closed"
    closed.mkdir()
    (closed / "x").mkdir(mode=0o777)
    (closed / "x").chmod(0o777)
    closed.chmod(mode)

    def export_to(url: str) -> None:
        from registry.exports.destination import open_destination

        files = open_destination(url, None, lambda place, paths: [])
        with files.hold():
            files.finish(b"new")

    from registry.snapshot.publish import publication

    def publish() -> None:
        with publication(Place(str(closed / "new")), "train"):
            pass

    for use in (
        lambda: export_to(str(closed / "new")),
        lambda: Place(str(closed)).write("new", b""),
        publish,
    ):
        text = error_of_ordinary_user(use)
        assert text.startswith("StorageError: Cannot ")
        assert "Permission denied" in text
        assert str(closed) in text
    # A folder that may be written in a parent that may not: the files are moved in.
    text = error_of_ordinary_user(lambda: export_to(str(closed / "x")))
    closed.chmod(0o755)
    if mode:
        assert text == "nothing"
        assert files_in(closed / "x") == {"export.json": b"new"}
    else:
        assert text.startswith(f"StorageError: Cannot write {closed}/x: Permission denied")


def test_a_folder_that_cannot_be_listed_does_not_count_as_empty(shared: Path) -> None:
    (shared / "closed").mkdir()
    (shared / "closed").chmod(0)
    text = error_of_ordinary_user(lambda: Place(str(shared)).list(""))
    assert text == f"StorageError: Cannot list {shared}/closed: Permission denied"


def test_a_name_that_is_too_long_is_a_clear_error(small_source: Path, exportable: Path, tmp_path: Path) -> None:
    name = "x" * 256
    for use in (
        lambda: ingest("train", str(small_source), str(tmp_path / name), jobs=1),
        lambda: run_export(exportable, "csv", tmp_path / name),
        lambda: Place(str(tmp_path)).write(name, b""),
        lambda: registry.open(str(tmp_path / name)),
    ):
        with pytest.raises(RegistryError, match="File name too long"):
            use()
    assert [path for path in tmp_path.iterdir() if path.name not in ("train", "release")] == []


def test_a_device_or_pipe_is_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "new").write_bytes(b"")
    place = Place(str(tmp_path))
    for use in (
        lambda: place.write("pipe", b"x"),
        lambda: place.put(tmp_path / "new", "pipe"),
        lambda: place.put(tmp_path / "new", "pipe", keep=True),
    ):
        with pytest.raises(StorageError, match=r"Cannot write .*/pipe: a device or pipe has this name"):
            use()
    assert (tmp_path / "pipe").is_fifo()
    with pytest.raises(StorageError, match=r"Cannot write /dev/null: a device or pipe"):
        Place("/dev").write("null", b"x")


def test_a_link_named_like_a_part_is_not_followed_when_writing(tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"mine")
    (tmp_path / "place").mkdir()
    (tmp_path / "new").write_bytes(b"new")
    for name in ("a", "b"):
        (tmp_path / "place" / f".{name}.partial").symlink_to(tmp_path / "victim")
    Place(str(tmp_path / "place")).write("a", b"new")
    Place(str(tmp_path / "place")).put(tmp_path / "new", "b", keep=True)
    assert files_in(tmp_path / "place") == {"a": b"new", "b": b"new"}
    assert (tmp_path / "victim").read_bytes() == b"mine"
