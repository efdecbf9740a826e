"""The command ``df2 sync``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import registry
from registry.snapshot.manifest import MANIFEST_NAME
from registry.storage.place import Place
from tests.cli.conftest import Run

OLD = "category_id=9/0123456789abcdef.parquet"


def test_sync_counts_the_files_sent_and_a_second_sync_sends_none(run: Run, three_splits: Path) -> None:
    first = run("sync", three_splits, "there")
    number = len(Place(str(three_splits)).list("")) - 1  # the manifest
    assert (first.exit_code, first.stderr) == (0, "")
    assert re.fullmatch(rf"there: {number} files sent \(\d+ kB\), 0 were there\.\n", first.stdout)
    again = run("sync", three_splits, "there", "--prune")
    assert again.stdout == (
        f"there: 0 files sent (0 bytes), {number} were there, 0 old files removed; it held this version already.\n"
    )
    assert run("verify", "there").exit_code == 0


def test_a_dry_run_lists_and_writes_nothing(run: Run, three_splits: Path, tmp_path: Path) -> None:
    shown = run("sync", three_splits, "there", "--dry-run")
    *sent, summary = shown.stdout.splitlines()
    assert len(sent) == len(Place(str(three_splits)).list("")) - 1
    assert sent[0].startswith("send categories/") and sent[0].endswith(" bytes)")
    assert re.search(r" files would be sent \(\d+ kB\), ", summary)
    assert list(tmp_path.iterdir()) == []
    run("sync", three_splits, "there")
    (tmp_path / "there" / "items" / "split=train" / OLD).write_bytes(b"")
    shown = run("sync", three_splits, "there", "-n", "--prune")
    assert shown.stdout.splitlines()[0] == f"remove items/split=train/{OLD}"
    assert (tmp_path / "there" / "items" / "split=train" / OLD).exists()


@pytest.mark.parametrize("options", [("--dry-run",), ()])
def test_sync_lists_files_in_a_format(run: Run, three_splits: Path, tmp_path: Path, options: tuple[str, ...]) -> None:
    sent = run("sync", three_splits, "there", *options, "--format", "json")
    rows = json.loads(sent.stdout)
    files = registry.open(str(three_splits)).manifest.files
    assert {(row["action"], row["path"], row["bytes"]) for row in rows} == {
        ("send", file.path, file.bytes) for file in files
    }
    assert sent.stderr.startswith(f"there: {len(files)} files ")
    run("sync", three_splits, "there")
    (tmp_path / "there" / "items" / "split=train" / OLD).write_bytes(b"")
    removed = run("sync", three_splits, "there", "--prune", *options, "--format", "csv")
    assert removed.stdout == f"action,path,bytes\nremove,items/split=train/{OLD},\n"
    assert "1 old file " in removed.stderr
    assert run("sync", three_splits, "there", "--dry-run", "-o", "files.parquet").exit_code == 0
    assert (tmp_path / "files.parquet").exists()


def test_a_source_that_is_no_registry_ends_with_a_message(run: Run, tmp_path: Path) -> None:
    shown = run("sync", "nothing", "there")
    assert (shown.exit_code, shown.stdout) == (1, "")
    assert shown.stderr.startswith("Error: There is no registry at nothing.")
    (tmp_path / MANIFEST_NAME).write_text("{}")
    shown = run("sync", ".", "there")
    keys = "".join(f"manifest.json > {key}: missing\n" for key in ("schema_version", "files", "sources"))
    assert shown.stderr == f"Error: ./manifest.json is not a manifest of a registry:\n{keys}"


def test_check_sends_damaged_files_again(run: Run, three_splits: Path, tmp_path: Path) -> None:
    run("sync", three_splits, "there")
    damaged = next((tmp_path / "there" / "items").rglob("*.parquet"))
    damaged.write_bytes(bytes(damaged.stat().st_size))
    assert run("verify", "there").exit_code == 1
    assert run("sync", three_splits, "there", "--check").stdout.startswith("there: 1 file sent")
    assert run("verify", "there").exit_code == 0
