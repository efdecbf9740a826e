"""Places on the command line: storage options, revisions, secrets that show nowhere."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import fsspec
import pytest

from registry.cli.context import _parse
from registry.errors import UsageError
from registry.snapshot.sync import sync
from registry.storage.place import Place
from tests.cli.conftest import Run
from tests.forks import Forks
from tests.helpers import SMALL_SPLIT, write_split
from tests.servers.s3 import S3Server

MARKER = "MARKER-0f-a-s3cret"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("endpoint_url=http://127.0.0.1:9000/?a=b", ("endpoint_url", "http://127.0.0.1:9000/?a=b")),
        ("anon=true", ("anon", True)),
        ("ssh:port=22", ("ssh:port", 22)),
        ('client_kwargs={"region_name": "x"}', ("client_kwargs", {"region_name": "x"})),
        ("secret=123456", ("secret", "123456")),
        ("password=true", ("password", "true")),
        ('auth=["ada", "x"]', ("auth", ["ada", "x"])),
        ("x=", ("x", "")),
    ],
)
def test_values_are_json_where_they_can_be_and_secrets_are_texts(text: str, expected: tuple[str, Any]) -> None:
    assert _parse(text) == expected


@pytest.mark.parametrize(("text", "shown"), [("secret", "without '='"), ("=secret", "=...")])
def test_a_malformed_storage_option_is_reported_without_its_value(text: str, shown: str) -> None:
    with pytest.raises(UsageError) as caught:
        _parse(text)
    assert str(caught.value).endswith(f"found {'one ' if '=' not in text else ''}{shown}.")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "order",
    [
        ["--storage-option", "endpoint_url={}", "-r", "s3://df2/registry", "stats"],
        ["-r", "s3://df2/registry", "verify", "s3://df2/registry", "--storage-option", "endpoint_url={}"],
    ],
)
def test_storage_options_stand_before_or_after_the_command(
    order: list[str], run: Run, bucket: dict[str, Any], three_splits: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync(Place(str(three_splits)), Place("s3://df2/registry", bucket))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", bucket["key"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", bucket["secret"])
    shown = run(*[part.format(bucket["endpoint_url"]) for part in order], registry=None)
    assert (shown.exit_code, shown.stderr) == (0, "")


def test_every_command_takes_a_memory_url(run: Run, tmp_path: Path) -> None:
    fsspec.filesystem("memory").store.clear()
    source = write_split(tmp_path / "release" / "train", SMALL_SPLIT)
    for file in source.rglob("*.json"):
        fsspec.filesystem("memory").pipe_file(f"/release/train/annos/{file.name}", file.read_bytes())
    registry = "memory://registry"
    commands: list[list[Any]] = [
        ["ingest", "--split", "train", "memory://release", registry],
        ["manifest", registry],
        ["verify", registry],
        ["subset", "--category", "skirt"],
        ["stats", "-o", "memory://out/stats.csv"],
        ["export", "coco", "memory://coco"],
        ["verify", "memory://coco"],
        ["export", "--from-manifest", "memory://coco/export.json", "memory://again"],
        ["catalog", "--copy", "memory://out/df2.duckdb"],
        ["diff", registry, registry],
        ["fingerprint", "--split", "train", "memory://release"],
        ["sync", registry, "memory://other"],
    ]
    for command in commands:
        shown = run(*command, registry=registry)
        assert shown.exit_code == 0, (command, shown.output)
    assert run("sql", "SELECT count(*) AS n FROM items", registry="memory://other").stdout == '[{"n": 8}]\n'
    files = set(fsspec.filesystem("memory").store)
    assert {"/out/stats.csv", "/out/df2.duckdb", "/again/export.json", "/other/manifest.json"} <= files
    shown = run("catalog", "df2.duckdb", registry=registry)
    assert (shown.exit_code, shown.stderr) == (
        2,
        f"Error: DuckDB clients cannot open {registry} by themselves: copy its rows into the catalog with --copy.\n",
    )
    fsspec.filesystem("memory").store.clear()


def test_a_storage_option_without_a_value_is_wrong_usage(run: Run) -> None:
    shown = run("--storage-option", "nothing", "stats")
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert shown.stderr.endswith("Error: Expected --storage-option KEY=VALUE, found one without '='.\n")


def test_a_password_in_a_url_is_not_shown_when_commands_succeed(run: Run, three_splits: Path) -> None:
    fsspec.filesystem("memory").store.clear()
    url = f"memory://ada:{MARKER}@x/registry"
    for command in (["sync", three_splits, url], ["verify", url], ["export", "csv", f"memory://ada:{MARKER}@x/csv"]):
        shown = run(*command)
        assert shown.exit_code == 0
        assert MARKER not in shown.output
    fsspec.filesystem("memory").store.clear()


def test_a_repository_without_a_revision_is_refused(run: Run) -> None:
    shown = run("--repo", ".", "stats")
    assert (shown.exit_code, shown.stderr) == (
        2,
        "Error: A repository is given and no revision of it: add rev (--rev).\n",
    )


@pytest.mark.xdist_group("seaweedfs")
def test_a_secret_shows_nowhere(seaweedfs: S3Server, three_splits: Path, tmp_path: Path) -> None:
    """Right and wrong secrets, from every source, appear in no output, log, traceback or file."""
    seaweedfs.make_bucket("secrets")
    place = Place("s3://secrets/registry", seaweedfs.storage_options)
    sync(Place(str(three_splits)), place)
    pairs = [f"{name}={value}" for name, value in seaweedfs.storage_options.items()]
    options = [part for pair in pairs for part in ("--storage-option", pair)]
    wrong = [*options, "--storage-option", f"secret={MARKER}"]
    remote = ["-r", "s3://secrets/registry"]
    cases: list[list[str]] = [
        [*wrong, *remote, "stats"],
        [*wrong, "sync", str(three_splits), "s3://secrets/other"],
        [*remote, "stats"],  # with the account of the environment
        [*options, "sync", str(three_splits), "s3://secrets/other"],
        [*options, *remote, "export", "coco", "s3://secrets/coco"],
        [*options, *remote, "export", "jsonl", str(tmp_path / "rows")],
        ["verify", f"webdav://ada:{MARKER}@127.0.0.1:1/x"],
        ["verify", f"https://127.0.0.1:1/x?X-Amz-Signature={MARKER}"],
        ["verify", "webdav://127.0.0.1/x", "--storage-option", f"no_such_token={MARKER}"],
    ]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"S3FS_LOGGING_LEVEL": "DEBUG", "AWS_MAX_ATTEMPTS": "1"}
    environment |= {"AWS_SECRET_ACCESS_KEY": MARKER, "AWS_ACCESS_KEY_ID": "someone-else"}
    environment |= {"AWS_ENDPOINT_URL": seaweedfs.endpoint_url, "DF2_REGISTRY": str(three_splits)}
    calls: list[tuple[Any, ...]] = [("df2_logged", case) for case in cases]
    calls.append(("open_registry", "s3://x/y", {"secret": MARKER, "key": 3}))
    outputs = []
    with Forks("tests.cli.logged", environment) as forks:
        for call in calls:
            forks.call(*call, output=tmp_path / "output", folder=tmp_path)
            outputs.append((tmp_path / "output").read_text())
            (tmp_path / "output").unlink()
            assert MARKER not in outputs[-1], call
            assert seaweedfs.secret not in outputs[-1]
    assert "Traceback" in outputs[-1]
    refused = "Error: Cannot read s3://secrets/"
    assert [refused in text for text in outputs[:4]] == [True, True, True, False]
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    files = seaweedfs.files()
    written += [files.cat_file(path) for path in files.find("secrets")]
    assert len(written) > 40
    assert not any(secret.encode() in data for data in written for secret in (MARKER, seaweedfs.secret))
