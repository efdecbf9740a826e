"""The command ``df2 catalog``."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize("options", [[], ["--copy"]])
def test_catalog_writes_a_file_that_a_client_opens(run: Run, tmp_path: Path, options: list[str]) -> None:
    result = run("catalog", "df2.duckdb", *options)
    assert (result.exit_code, result.stdout) == (0, "df2.duckdb: open it with 'duckdb df2.duckdb'.\n")
    with duckdb.connect(str(tmp_path / "df2.duckdb"), read_only=True) as client:
        assert client.execute("SELECT count(*) FROM instance_pairs").fetchall() == [(6,)]


def test_catalog_in_a_missing_folder_ends_with_4(run: Run) -> None:
    result = run("catalog", "none/df2.duckdb")
    assert result.exit_code == 4
    assert result.stderr.startswith("Error: Cannot write none/df2.duckdb: ")


def test_catalog_without_a_registry_ends_with_1(run: Run) -> None:
    result = run("catalog", "df2.duckdb", registry="none")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: There is no registry at none.")
