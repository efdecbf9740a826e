"""Faults of a store: a command succeeds after retries or ends with a clear error, and damages nothing."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

import registry
from registry.errors import NotFoundError, RegistryError, StorageError
from registry.exports.manifest import verify_export
from registry.ingest.build import ingest
from registry.snapshot.manifest import MANIFEST_NAME
from registry.snapshot.sync import sync
from registry.snapshot.verify import verify_registry
from registry.storage import filesystems, timeouts
from registry.storage.place import Place
from registry.store.connection import duckdb_errors
from tests.helpers import annotation, write_split
from tests.registries import FEW
from tests.servers.faults import (
    Fault,
    Request,
    When,
    always,
    anything,
    every,
    first,
    flip,
    missing,
    reads,
    reset,
    slow,
    status,
    truncate,
    writes,
)
from tests.servers.proxy import S3Proxy
from tests.servers.s3 import S3Server

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("seaweedfs")]


@pytest.fixture(autouse=True)
def _short_naps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystems, "_DELAYS", (0.01, 0.01))


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Disable the retries of the client libraries, which would take half a minute."""
    import s3fs

    monkeypatch.setattr(timeouts, "S3_RETRIES", {"total_max_attempts": 1})
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)


@pytest.fixture
def options(s3_proxy: S3Proxy, seaweedfs: S3Server) -> dict[str, Any]:
    seaweedfs.make_bucket("faults")
    return s3_proxy.through(seaweedfs).storage_options


@pytest.fixture
def direct(options: dict[str, Any], seaweedfs: S3Server) -> dict[str, Any]:
    """Return the options without the proxy."""
    return seaweedfs.storage_options


@pytest.fixture
def newer(made_few: Path, tmp_path: Path) -> Place:
    return Place(shutil.copytree(made_few / "new", str(tmp_path / "newer")))


PASSING: dict[str, tuple[Fault, When]] = {
    "503": (status(503, "SlowDown"), anything),
    "500": (status(500, "InternalError"), anything),
    "500 after the write": (status(500, "InternalError", reached=True), anything),
    "reset": (reset(), anything),
    "reset after the write": (reset(after=0), anything),
    "reset in the middle": (reset(after=100), reads),
    "truncated": (truncate(100), reads),
    "slow": (slow(0.05, rate=200_000), anything),
}


@pytest.mark.parametrize("name", PASSING)
def test_a_temporary_fault_is_not_noticed(
    name: str, s3_proxy: S3Proxy, options: dict[str, Any], direct: dict[str, Any], few_registry: Path, tmp_path: Path
) -> None:
    fault, when = PASSING[name]
    local, remote = Place(str(few_registry)), Place("s3://faults/registry", options)
    s3_proxy.fault = every(6, fault, when)
    sync(local, remote)
    assert verify_registry(remote).is_whole
    opened = registry.open(remote.url, options)
    assert opened.stats() == registry.open(str(few_registry)).stats()
    assert len(opened.pairs("train").fetchall()) == 1
    registry.export(opened, "coco", "s3://faults/coco", storage_options=options)
    sync(remote, Place(str(tmp_path / "back")))
    ingest("train", str(write_split(tmp_path / "train", FEW)), "s3://faults/made", jobs=1, storage_options=options)
    assert any(request.fault for request in s3_proxy.requests)
    s3_proxy.fault = None
    for place in (Place(remote.url, direct), Place(str(tmp_path / "back")), Place("s3://faults/made", direct)):
        assert verify_registry(place).is_whole
        assert place.read(MANIFEST_NAME) == local.read(MANIFEST_NAME)
    assert verify_export(Place("s3://faults/coco", direct)).is_whole


LASTING: dict[str, tuple[Fault, When]] = {
    "503": (status(503, "SlowDown"), anything),
    "403": (status(403, "AccessDenied"), anything),
    "reset": (reset(), anything),
    "truncated": (truncate(20), reads),
    "no writes": (status(403, "AccessDenied"), writes),
    "wrong bytes": (flip(50), reads),
}


def is_write(request: Request) -> bool:
    return writes(request) and "manifest.json" in request.path


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("name", LASTING)
def test_a_permanent_fault_is_a_clear_error_and_damages_nothing(
    name: str,
    s3_proxy: S3Proxy,
    options: dict[str, Any],
    direct: dict[str, Any],
    few_registry: Path,
    newer: Place,
    tmp_path: Path,
) -> None:
    fault, when = LASTING[name]
    old = Place(str(few_registry))
    sync(old, Place("s3://faults/registry", direct))
    remote = Place("s3://faults/registry", options)
    new_source = str(write_split(tmp_path / "again" / "train", {**FEW, 8: annotation()}))
    back = Place(str(tmp_path / "back"))
    sync(newer, back)
    commands: dict[str, Callable[[], Any]] = {
        "sync there": lambda: sync(newer, remote),
        "sync back": lambda: sync(remote, back),
        "ingest": lambda: ingest("train", new_source, remote.url, jobs=1, storage_options=options),
        "ask": lambda: registry.open(remote.url, options).pairs("train").fetchall(),
        "export": lambda: registry.export(registry.open(str(few_registry)), "coco", "s3://faults/coco",
                                          storage_options=options),
    }  # fmt: skip
    if when is writes:
        del commands["sync back"], commands["ask"]
    elif fault.kind in ("truncate", "flip"):
        del commands["export"]  # it only writes
    s3_proxy.fault = always(fault, when)
    for command, run in commands.items():
        with pytest.raises(RegistryError) as caught:
            run()
        message = str(caught.value)
        assert "s3://faults/" in message, (command, message)
        assert "Traceback" not in message
    s3_proxy.fault = None
    assert verify_registry(Place(remote.url, direct)).is_whole
    assert Place(remote.url, direct).read(MANIFEST_NAME) == old.read(MANIFEST_NAME)
    assert verify_registry(back).is_whole
    assert back.read(MANIFEST_NAME) == newer.read(MANIFEST_NAME)
    assert Place("s3://faults/coco", direct).list("") == []


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("fault", [missing(), flip(10), truncate(10)], ids=lambda fault: fault.kind)
def test_a_data_file_removed_or_changed_while_reading_is_named(
    fault: Fault, s3_proxy: S3Proxy, options: dict[str, Any], few_registry: Path
) -> None:
    remote = Place("s3://faults/registry", options)
    sync(Place(str(few_registry)), remote)
    opened = registry.open(remote.url, options)
    s3_proxy.fault = always(fault, lambda request: reads(request) and "category_id=8" in unquote(request.path))
    text = r"s3://faults/registry/items/split=train/category_id=8/"
    with pytest.raises((StorageError, NotFoundError), match=text), duckdb_errors():
        opened.sql("SELECT sum(x1) FROM items").fetchall()
    assert opened.sql("SELECT count(*) FROM images").fetchall() == [(2,)]
    s3_proxy.fault = None
    assert len(opened.sql("SELECT x1 FROM items").fetchall()) == 3


def test_a_reader_continues_with_the_new_registry_when_the_old_files_are_pruned(
    options: dict[str, Any], few_registry: Path, newer: Place
) -> None:
    remote = Place("s3://faults/registry", options)
    sync(Place(str(few_registry)), remote)
    opened = registry.open(remote.url, options)
    sync(newer, remote, prune=True)
    assert opened.stats() == registry.open(str(newer)).stats()


def test_a_manifest_write_whose_answer_was_lost_is_no_conflict(
    s3_proxy: S3Proxy, options: dict[str, Any], few_registry: Path, newer: Place
) -> None:
    remote = Place("s3://faults/registry", options)
    sync(Place(str(few_registry)), remote)
    s3_proxy.fault = first(1, reset(after=0), is_write)
    assert sync(newer, remote).is_new
    assert verify_registry(remote).is_whole


def test_a_wrong_secret_is_refused_at_once_and_shown_nowhere(seaweedfs: S3Server, few_registry: Path) -> None:
    seaweedfs.make_bucket("faults")
    marker = "MARKER-of-a-secret"
    wrong = {**seaweedfs.storage_options, "secret": marker}
    shown = io.StringIO()
    with (
        redirect_stderr(shown),
        pytest.raises(StorageError, match=r"Cannot read s3://faults/registry/manifest\.json") as error,
    ):
        registry.open("s3://faults/registry", wrong)
    with redirect_stderr(shown), pytest.raises(StorageError, match="s3://faults/registry") as other:
        sync(Place(str(few_registry)), Place("s3://faults/registry", wrong))
    assert marker not in f"{shown.getvalue()}{error.value}{other.value}"


@pytest.mark.parametrize("reached", [False, True])
@pytest.mark.parametrize("code", ["InternalError", "SlowDown"])
def test_an_export_retries_a_server_error_for_each_file_it_writes(
    reached: bool, code: str, s3_proxy: S3Proxy, options: dict[str, Any], direct: dict[str, Any], few_registry: Path
) -> None:
    paths: set[str] = set()

    def first_of_each(request: Request) -> Fault | None:
        if not writes(request) or request.path in paths:
            return None
        paths.add(request.path)
        return status(503 if code == "SlowDown" else 500, code, reached=reached)

    s3_proxy.fault = first_of_each
    for name in ("coco", "deepfashion2"):  # one large file, and many small ones
        registry.export(registry.open(str(few_registry)), name, f"s3://faults/{name}", storage_options=options)
    s3_proxy.fault = None
    assert len(paths) > 4
    for name in ("coco", "deepfashion2"):
        assert verify_export(Place(f"s3://faults/{name}", direct)).is_whole
