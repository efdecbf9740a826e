"""Queries of a remote registry: their requests, places of all kinds, a registry that moves."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import fsspec
import pytest

import registry
from registry.errors import QueryError
from registry.snapshot.blocks import Blocks
from registry.snapshot.manifest import read_manifest
from registry.snapshot.sync import sync
from registry.storage.place import Place
from registry.store.connection import duckdb_errors
from registry.store.manifest_files import ManifestFiles
from registry.store.paths import virtual_path
from tests.registries import make_three_splits
from tests.servers.proxy import S3Proxy
from tests.servers.s3 import S3Server

#: An option that obstore does not know, so that s3fs reads.
S3FS = {"default_cache_type": "none"}


@pytest.fixture(scope="module")
def three_splits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_three_splits(tmp_path_factory.mktemp("three"))


@pytest.fixture
def counted(moto_server: S3Server, bucket: dict[str, Any], three_splits: Path) -> Iterator[S3Proxy]:
    """Yield a proxy through which the registry of three splits is at ``s3://df2/registry``."""
    sync(Place(str(three_splits)), Place("s3://df2/registry", bucket))
    with S3Proxy(moto_server.endpoint_url) as proxy:
        yield proxy


def test_each_thread_reads_a_file_where_it_went_itself(three_splits: Path) -> None:
    place = Place(str(three_splits))
    manifest = read_manifest(place)
    path = virtual_path(next(file for file in manifest.files if file.table == "items"))
    file = ManifestFiles(manifest, Blocks(place)).open(path)
    file.seek(4)
    with ThreadPoolExecutor(1) as other:
        assert other.submit(lambda: (file.seek(0), file.read(4))).result() == (0, b"PAR1")
    assert (file.tell(), file.read(4)) == (4, (three_splits / path.partition("://")[2]).read_bytes()[4:8])


@pytest.mark.parametrize("more", [{}, S3FS], ids=["obstore", "s3fs"])
def test_a_look_up_asks_for_the_manifest_and_for_blocks_and_lists_nothing(
    counted: S3Proxy, moto_server: S3Server, three_splits: Path, tmp_path: Path, more: dict[str, Any]
) -> None:
    options = counted.through(moto_server).storage_options | more
    expected = registry.open(str(three_splits)).pairs("train", 1).fetchall()
    opened = registry.open("s3://df2/registry", options, cache=str(tmp_path))
    assert opened.pairs("train", 1).fetchall() == expected
    assert {request.method for request in counted.requests} <= {"GET", "HEAD"}
    assert not any("list-type" in request.query for request in counted.requests)
    ranges = [(request.path, request.range) for request in counted.requests if "parquet" in request.path]
    assert len(ranges) == len(set(ranges))
    assert all(one is not None for _, one in ranges)
    train = [file for file in read_manifest(opened.place).files if file.table == "items" and file.split == "train"]
    others = [path for path, _ in ranges if "validation" in path and "items" in path]
    assert others == []  # of the other splits, nothing
    assert len([path for path, _ in ranges if "items" in path]) == len(train)  # each of these is one small file

    counted.reset()
    assert opened.pairs("train", 1).fetchall() == expected
    assert counted.requests == []  # kept for the session
    again = registry.open("s3://df2/registry", options, cache=str(tmp_path))
    assert again.pairs("train", 1).fetchall() == expected
    assert {request.path for request in counted.requests} == {"/df2/registry/manifest.json"}  # kept on disk
    assert ("_filesystem" in vars(opened.place._folder)) is bool(more)


def test_counts_come_from_footers_and_selections_share_what_was_read(counted: S3Proxy, moto_server: S3Server) -> None:
    opened = registry.open("s3://df2/registry", counted.through(moto_server).storage_options)
    opened.select(category="skirt").summary()
    counted.reset()
    opened.select(category="skirt").summary()
    assert counted.requests == []


def _same(opened: registry.Registry, local: registry.Registry) -> None:  # type: ignore[name-defined]
    assert opened.stats() == local.stats()
    query = "SELECT * FROM items ORDER BY ALL"
    assert opened.sql(query).to_arrow_table().equals(local.sql(query).to_arrow_table())
    assert opened.tables() == local.tables()


@pytest.mark.parametrize("kind", ["memory", "s3", "s3fs", "ssh", "webdav", "http", "gs"])
def test_every_kind_of_place_gives_the_same_rows(
    kind: str, request: pytest.FixtureRequest, three_splits: Path, tmp_path: Path
) -> None:
    source, name = Place(str(three_splits)), tmp_path.name
    urls: dict[str, Callable[[], tuple[str, Any]]] = {
        "memory": lambda: (f"memory://{name}", None),
        "s3": lambda: (f"s3://df2/{name}", request.getfixturevalue("bucket")),
        "s3fs": lambda: (f"s3://df2/{name}", request.getfixturevalue("bucket") | S3FS),
        "ssh": lambda: (server.url(f"{name}"), server.storage_options),
        "webdav": lambda: (
            server.base_url.replace("http://", f"webdav://{server.user}:{server.password}@") + f"/{name}",
            None,
        ),
        "http": lambda: (server.url(name), server.storage_options),
        "gs": lambda: (f"{server.make_bucket('df2-remote')}/{name}", server.storage_options),
    }
    fixture = {"ssh": "ssh_server", "webdav": "webdav_server", "http": "http_server", "gs": "gcs_server"}.get(kind)
    server: Any = request.getfixturevalue(fixture) if fixture else None
    url, options = urls[kind]()
    if kind == "http":
        shutil.copytree(three_splits, server.root / name)
    else:
        sync(source, Place(url, options))
    opened = registry.open(url, options, cache=str(tmp_path / "cache"))
    _same(opened, registry.open(str(three_splits)))
    with pytest.raises(QueryError, match=r"File system|Permission|disabled"), duckdb_errors():
        opened.sql(f"SELECT * FROM read_blob('{three_splits}/manifest.json')").fetchall()


def test_a_registry_that_was_moved_still_works(three_splits: Path, tmp_path: Path, bucket: dict[str, Any]) -> None:
    local = registry.open(str(three_splits))
    shutil.copytree(three_splits, tmp_path / "here")
    shutil.move(tmp_path / "here", tmp_path / "there")
    _same(registry.open(str(tmp_path / "there")), local)
    remote = Place("s3://df2/first", bucket)
    sync(Place(str(three_splits)), remote)
    remote.fs.mkdir("other-df2") if not remote.fs.exists("other-df2") else None
    remote.fs.copy("df2/first", "other-df2/deep/second", recursive=True)
    _same(registry.open("s3://other-df2/deep/second", bucket), local)
    fsspec.filesystem("memory").store.clear()
