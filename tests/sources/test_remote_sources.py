"""A failing remote source: temporary faults are retried, lasting faults end the ingestion; neither is an issue."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import fsspec
import pytest

import registry
from registry.errors import SourceError, StorageError
from registry.ingest.build import ingest
from registry.ingest.fingerprint import fingerprint_source
from registry.storage import filesystems, timeouts
from tests.helpers import SMALL_SPLIT, jpeg, write_split
from tests.servers.faults import always, every, reset, status, truncate
from tests.servers.proxy import S3Proxy
from tests.servers.s3 import S3Server
from tests.sources.packing import files_in, write_tar, write_zip

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("seaweedfs")]

FORMS = ("folder", "train.zip", "train.tar", "train.tar.gz")
FAULTS = {
    "500": status(500, "InternalError"),
    "reset": reset(),
    "reset in the middle": reset(after=50),
    "truncated": truncate(50),
}


class Sources(NamedTuple):
    """A split in a bucket in every form, what its registry holds, and its fingerprint by form."""

    tables: Any
    fingerprints: dict[str, str]


@pytest.fixture(scope="module")
def sources(seaweedfs: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Sources:
    """Fill the bucket; no test changes it."""
    folder = tmp_path_factory.mktemp("sources")
    seaweedfs.make_bucket("sources")
    source = write_split(folder / "train", SMALL_SPLIT, {k: jpeg(40 + int(k)) for k in SMALL_SPLIT})
    ingest("train", str(source), str(folder / "r"), jobs=1)
    members = files_in(source)
    direct = fsspec.filesystem("s3", **seaweedfs.storage_options, skip_instance_cache=True)
    direct.pipe({f"sources/folder/{name}": data for name, data in members.items()})
    direct.pipe_file("sources/lists/query.txt", b"000001.jpg\n")
    for form in FORMS[1:]:
        write = write_zip if form.endswith("zip") else write_tar
        direct.pipe_file(f"sources/{form}", write(folder / form, members).read_bytes())
    return Sources(
        tables_of(folder / "r"),
        {form: fingerprint_of(form, seaweedfs.storage_options) for form in FORMS},
    )


def fingerprint_of(form: str, options: dict[str, Any]) -> str:
    return fingerprint_source(f"s3://sources/{form}", "train", ["s3://sources/lists"], options=options)


@pytest.fixture
def options(
    s3_proxy: S3Proxy, seaweedfs: S3Server, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> dict[str, Any]:
    """Return the options of the bucket through the proxy; the libraries below do not try again."""
    import s3fs

    monkeypatch.setattr(filesystems, "_DELAYS", (0.01, 0.01))
    monkeypatch.setattr(timeouts, "S3_ATTEMPTS", 1)
    monkeypatch.setattr(s3fs.S3FileSystem, "retries", 1)
    s3fs.S3FileSystem.clear_instance_cache()
    return s3_proxy.through(seaweedfs).storage_options


def tables_of(target: Path) -> Any:
    df2 = registry.open(str(target))
    return df2.sql("SELECT * FROM images ORDER BY ALL").fetchall(), df2.sql("SELECT * FROM quarantine").fetchall()


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("form", FORMS)
def test_temporary_faults_have_no_effect(
    form: str, name: str, s3_proxy: S3Proxy, options: dict[str, Any], sources: Sources, tmp_path: Path
) -> None:
    s3_proxy.fault = every(3, FAULTS[name])
    report = ingest(
        "train", f"s3://sources/{form}", str(tmp_path / "remote"), jobs=1, on_error="quarantine",
        retrieval=["s3://sources/lists"], storage_options=options,
    )  # fmt: skip
    assert any(request.fault for request in s3_proxy.requests)
    assert report.bad_files == []
    assert tables_of(tmp_path / "remote") == sources.tables
    assert fingerprint_of(form, options) == sources.fingerprints[form]


@pytest.mark.parametrize("on_error", ["fail", "quarantine"])
@pytest.mark.parametrize("part", ["annos/000002.json", "image/000003.jpg", "lists/query.txt", ".zip", ".tar", ".gz"])
def test_lasting_faults_end_the_ingestion_and_change_nothing(
    part: str, on_error: Any, s3_proxy: S3Proxy, options: dict[str, Any], small_registry: Path
) -> None:
    before = files_in(small_registry)
    form = next((form for form in FORMS if part.startswith(".") and form.endswith(part)), "folder")
    s3_proxy.fault = always(status(500, "InternalError"), lambda request: request.path.endswith(part))
    with pytest.raises((SourceError, StorageError)) as caught:
        ingest(
            "train", f"s3://sources/{form}", str(small_registry), jobs=1, on_error=on_error,
            retrieval=["s3://sources/lists"], storage_options=options,
        )  # fmt: skip
    assert caught.value.exit_code == 4
    assert "Cannot read" in str(caught.value)
    assert files_in(small_registry) == before


def test_a_failing_disk_is_an_error_of_the_place(
    small_source: Path, small_registry: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno
    import os

    real = os.open

    def failing(path: Any, *args: Any, **options: Any) -> int:
        if path == "000003.json":
            raise OSError(number, os.strerror(number))
        return real(path, *args, **options)

    before = files_in(small_registry)
    monkeypatch.setattr(os, "open", failing)
    for number in (errno.EIO, errno.EACCES, errno.ENOENT):
        with pytest.raises(SourceError, match=r"Cannot read .*000003\.json: " + os.strerror(number)):
            ingest("train", str(small_source), str(small_registry), jobs=1, on_error="quarantine")
    assert files_in(small_registry) == before
