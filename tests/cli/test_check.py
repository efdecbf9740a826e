"""``df2 check``: its output, its files and its exit codes."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import pytest

from registry.cli.check import needed_memory
from registry.snapshot.manifest import read_manifest
from registry.storage.place import Place
from tests.cli.conftest import Run
from tests.registries import make_odd


@pytest.fixture(scope="session")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry with odd rows."""
    return make_odd(tmp_path_factory.mktemp("odd"))


def test_json_is_a_list_of_five_values_each(run: Run, odd: Path) -> None:
    result = run("check", "--only", "duplicate-items", "--only", "degenerate-box", "--format", "json", registry=odd)
    assert result.exit_code == 0
    assert json.loads(result.stdout) == [
        {"check": "degenerate-box", "severity": "error", "count": 1, "limit": None, "passed": True},
        {"check": "duplicate-items", "severity": "warning", "count": 1, "limit": None, "passed": True},
    ]


def test_the_table_for_people_also_counts_accepted_rows(run: Run, odd: Path) -> None:
    Path("checks").mkdir()
    Path("params.yaml").write_text("checks: {limits: {degenerate-box: 0}}")
    line = {"check": "degenerate-box", "key": {"split": "train", "image_id": 1, "item_no": 3}, "why": "it is so"}
    Path("checks/accepted.jsonl").write_text(json.dumps(line))
    result = run("check", "--severity", "error", "--format", "md", registry=odd)
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "| check | severity | count | accepted | limit | passed |",
        "| --- | --- | --- | ---: | --- | --- |",
        "| degenerate-box | error | 0 | 1 | 0 | yes |",
        "| degenerate-polygon | error | 0 | 0 |  | yes |",
        "| landmark-inconsistent | error | 0 | 0 |  | yes |",
        "| missing-picture | error | 1 | 0 |  | yes |",
        "| unreadable-picture | error |  | 0 |  |  |",
    ]


def test_exit_code_3_where_an_error_passes_its_limit(run: Run, odd: Path) -> None:
    Path("params.yaml").write_text("checks: {limits: {degenerate-box: 0, duplicate-items: 0}}")
    result = run("-q", "check", "--format", "json", registry=odd)
    assert result.exit_code == 3
    assert [row["check"] for row in json.loads(result.stdout) if row["passed"] is False] == [
        "degenerate-box", "duplicate-items"
    ]  # fmt: skip
    assert result.stderr == "df2 check: degenerate-box: 1 row, at most 0 allowed in params.yaml, checks, limits.\n"
    assert run("check", "--only", "duplicate-items", registry=odd).exit_code == 0
    assert run("check", "--source", "shop", registry=odd).exit_code == 0


def test_exit_code_1_where_a_check_is_broken_and_the_others_are_counted(run: Run, odd: Path) -> None:
    Path("my").mkdir()
    Path("my/broken.sql").write_text("SELECT 1")
    Path("params.yaml").write_text("checks: {folders: [my]}")
    result = run("-q", "check", "--format", "json", registry=odd)
    assert result.exit_code == 1
    assert json.loads(result.stdout)[0]["count"] == 1
    assert json.loads(result.stdout)[-1] == {
        "check": "broken", "severity": "error", "count": None, "limit": None, "passed": False
    }  # fmt: skip
    assert result.stderr.startswith("df2 check: my/broken.sql: The check broken: expected a first line")
    Path("params.yaml").write_text("checks: {folders: [my], limits: {degenerate-box: 0}}")
    assert run("check", registry=odd).exit_code == 3


def test_the_rows_of_a_check_in_any_format(run: Run, odd: Path) -> None:
    result = run("check", "--rows", "degenerate-box", "--format", "csv", registry=odd)
    (row,) = csv.DictReader(result.stdout.splitlines())
    assert (row["split"], row["image_id"], row["item_no"], row["kind"]) == ("train", "1", "3", "no area")
    assert run("check", "--rows", "orphan-identity", "-o", "rows.parquet", registry=odd).exit_code == 0
    listed = run("sql", "SELECT count(*) AS n FROM odd", "--table", "odd=rows.parquet", registry=odd)
    assert json.loads(listed.stdout) == [{"n": 2}]
    within = run("check", "--rows", "orphan-identity", "--image-id", "2", "--format", "json", registry=odd)
    assert [row["style"] for row in json.loads(within.stdout)] == [1]


def test_rows_of_a_check_that_is_not_there_and_with_options_of_counts(run: Run, odd: Path) -> None:
    result = run("check", "--rows", "nope", registry=odd)
    assert (result.exit_code, "Unknown check 'nope'" in result.stderr) == (2, True)
    assert run("check", "--rows", "degenerate-box", "--severity", "error", registry=odd).exit_code == 2
    for junit in (["--format", "junit"], ["-o", "rows.xml"]):
        result = run("check", "--rows", "degenerate-box", *junit, registry=odd)
        assert (result.exit_code, "expected another format of --rows" in result.stderr) == (2, True)
    assert not Path("rows.xml").exists()


def test_junit_and_metrics_are_files(run: Run, odd: Path) -> None:
    assert run("check", "-o", "checks.xml", "--metrics", "metrics/checks.json", registry=odd).exit_code == 0
    assert Path("checks.xml").read_text().startswith("<?xml version='1.0' encoding='utf-8'?>\n<testsuite")
    assert json.loads(Path("metrics/checks.json").read_text())["degenerate-box"] == 1
    assert run("check", "--format", "junit", registry=odd).stdout == Path("checks.xml").read_text()


def test_a_parameter_file_that_is_named_must_exist(run: Run, odd: Path) -> None:
    for command in (("check",), ("report", "out.html"), ("subset",)):
        result = run(*command, "--params", "nowhere.yaml", registry=odd)
        assert (result.exit_code, "There is no file nowhere.yaml." in result.stderr) == (2, True)


def test_a_wrong_line_of_the_accepted_exceptions_is_wrong_usage(run: Run, odd: Path) -> None:
    Path("checks").mkdir()
    Path("checks/accepted.jsonl").write_text('{"check": "nope", "key": {}, "why": "x"}')
    result = run("check", registry=odd)
    assert result.exit_code == 2
    assert "checks/accepted.jsonl, line 1: Unknown check 'nope'." in result.stderr


def test_a_subset_and_an_export_without_the_rows_of_a_check(run: Run, odd: Path) -> None:
    result = run("subset", "--exclude-check", "degenerate-box", "--format", "json", registry=odd)
    assert json.loads(result.stdout)[-1]["items"] == 4
    assert "note: 1 item of train is left out by the check degenerate-box" in result.stderr
    assert run("export", "csv", "sound", "--exclude-check", "degenerate-box", registry=odd).exit_code == 0
    again = run("export", "--from-manifest", "sound/export.json", "again", registry=odd)
    assert again.exit_code == 0 and "with the same bytes as before" in again.stdout


def test_the_memory_grows_with_the_items_above_those_of_the_release(odd: Path) -> None:
    manifest = read_manifest(Place(str(odd)))
    assert needed_memory(manifest) == 128_000_000
    (first, *_), others = manifest.of_table("items"), [file for file in manifest.files if file.table != "items"]
    large = replace(manifest, files=(*others, replace(first, rows=1_365_000)))
    assert needed_memory(large) == 828_000_000
    photos = replace(manifest, files=(*manifest.files, replace(first, table="photos", rows=1)))
    assert needed_memory(photos) is None
