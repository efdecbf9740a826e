"""An endless answer of a server is an error with the URL, after a bounded number of bytes."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from registry.cli.main import main
from registry.errors import NotFoundError, StorageError
from registry.exports.manifest import read_export, read_manifest_file
from registry.snapshot.manifest import MANIFEST_NAME, read_manifest
from registry.storage import bounded_reads
from registry.storage.place import Place
from tests.servers.endless import EndlessServer, Kind, run_endless

MOST = 1 << 20
#: Bytes in the buffers of both sides when the client closes the connection.
ON_ITS_WAY = 16 << 20


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded_reads, "MAX_WHOLE", MOST)


def place_of(kind: str, server: EndlessServer) -> Place:
    """Return a place at a server: by HTTP, by WebDAV, by S3 with obstore, or by S3 with s3fs."""
    if kind == "http":
        return Place(f"{server.url}/registry")
    if kind == "webdav":
        pytest.importorskip("webdav4.fsspec", reason="needs the extra webdav")
        return Place(f"{server.url.replace('http', 'webdav')}/registry")
    pytest.importorskip("s3fs", reason="needs the extra s3")
    options: dict[str, Any] = {"endpoint_url": server.url, "anon": True}
    if kind == "s3fs":
        options["default_cache_type"] = "none"  # an option that only s3fs has
    return Place("s3://bucket/registry", options)


@pytest.mark.parametrize("kind", ["http", "webdav", "obstore", "s3fs"])
def test_an_endless_document_is_an_error_with_its_url(kind: str) -> None:
    # These clients require a length.
    announces = 1 << 40 if kind in ("obstore", "webdav") else None
    with run_endless(start=b'{"schema_version": 2, ', announces=announces) as server:
        place = place_of(kind, server)
        for read, name in ((read_manifest, "manifest.json"), (read_export, "export.json")):
            with pytest.raises(StorageError, match=rf"^Cannot read .*/registry/{name}: .* more than the [\d,]+ bytes"):
                read(place)
        assert ("_filesystem" in vars(place._folder)) == (kind != "obstore")
        assert server.sent
        assert max(server.sent) < MOST + ON_ITS_WAY


@pytest.mark.parametrize("answer", ["whole", "range"])
@pytest.mark.parametrize("kind", ["http", "obstore", "s3fs"])
def test_an_endless_range_is_read_only_as_far_as_requested(kind: str, answer: Kind) -> None:
    with run_endless(answer, start=bytes(range(256))) as server:
        place = place_of(kind, server)
        if kind == "http" and answer == "whole":  # as servers without range requests answer
            assert place.read_range("items/a.parquet", 10, 20) == bytes(range(10, 20))
        else:
            with pytest.raises(StorageError, match=r"Cannot read .*/registry/items/a\.parquet: "):
                place.read_range("items/a.parquet", 10, 20)
        assert max(server.sent) < MOST + ON_ITS_WAY


def test_an_endless_block_is_an_error_of_the_command(small_registry: Path) -> None:
    manifest = (small_registry / MANIFEST_NAME).read_bytes()
    with run_endless("range", files={"/registry/manifest.json": manifest}) as server:
        result = CliRunner().invoke(main, ["--registry", f"{server.url}/registry", "sql", "SELECT * FROM items"])
        assert result.exit_code == 4
        assert "more than the" in result.output
        assert f"Cannot read {server.url}/registry/i" in result.output
        assert max(server.sent) < MOST + ON_ITS_WAY


def test_other_remote_documents_are_bounded(tmp_path: Path) -> None:
    with run_endless() as server:
        with pytest.raises(StorageError, match=rf"{server.url}/x\.json: .* more than the"):
            read_manifest_file(f"{server.url}/x.json")
        assert Place(f"{server.url}/folder").sizes("") == {}  # web servers may list no folders
        with pytest.raises(StorageError, match=rf"{server.url}/folder/issues\.jsonl: .* more than the"):
            Place(f"{server.url}/folder").fetch("issues.jsonl", tmp_path / "issues.jsonl")
        assert max(server.sent) < MOST + ON_ITS_WAY


def test_endless_annotations_and_lists_are_errors_of_their_source(tmp_path: Path) -> None:
    listing = b'<html><a href="000001.json">000001.json</a></html>'
    with run_endless(files={"/train/annos": listing, "/train/annos/": listing}) as server:
        source = f"{server.url}/train"
        for options in ([], ["--retrieval", f"{server.url}/query.json"]):
            result = CliRunner().invoke(main, ["ingest", source, str(tmp_path / "new"), "--split", "train", *options])
            assert "more than the" in result.output
            assert result.exit_code == 4
        assert max(server.sent) < MOST + ON_ITS_WAY


def test_local_documents_are_bounded(tmp_path: Path) -> None:
    with open(tmp_path / MANIFEST_NAME, "wb") as file:
        os.truncate(file.fileno(), 1 << 40)
    result = CliRunner().invoke(main, ["--registry", str(tmp_path), "stats"])
    assert result.exit_code == 4
    assert result.output.startswith(
        f"Error: Cannot read {tmp_path}/manifest.json: it has, or the server sends, more than"
    )


def test_a_file_of_exactly_the_bound_is_read(tmp_path: Path) -> None:
    data = os.urandom(MOST)
    with run_endless(files={"/registry/a": data, "/registry/b": data + b"x"}) as server:
        place = Place(f"{server.url}/registry")
        assert place.read("a") == data
        assert place.read_range("a", 70_000, 900_000) == data[70_000:900_000]
        with pytest.raises(StorageError, match="more than the 1,048,576 bytes"):
            place.read("b")


def test_a_long_error_page_does_not_hide_its_error() -> None:
    with run_endless() as server:
        place = Place(f"{server.url}/registry")
        with pytest.raises(NotFoundError, match="/registry/missing does not exist"):
            place.read_range("missing", 10, 20)
        with pytest.raises(NotFoundError, match="/registry/missing does not exist"):
            place.read("missing")
