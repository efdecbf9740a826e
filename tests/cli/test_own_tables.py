"""``--table`` and ``--items`` on the command line, and tables named in params.yaml."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from registry.cli.main import main
from tests.cli.conftest import Run
from tests.own_rows import table, write


@pytest.fixture
def scores(tmp_path: Path) -> Path:
    return write(tmp_path / "scores.parquet", table({"item_no": 9}))


NOTE = (
    "note: 1 row of the table scores has a key that fits no row of items (the first: split train, image_id 1, "
    "item_no 9)\n"
)


def test_sql_reads_a_table_and_counts_keys_that_fit_nothing(run: Run, scores: Path) -> None:
    query = "SELECT count(*) AS n FROM items JOIN scores USING (split, image_id, item_no)"
    result = run("sql", "--table", f"scores={scores}", query, "--format", "csv")
    assert (result.stdout, result.stderr, result.exit_code) == ("n\n6\n", NOTE, 0)


def test_a_condition_of_sql_subset_and_diff_names_a_table(run: Run, scores: Path, three_splits: Path) -> None:
    options = ["--table", f"scores={scores}", "--where", "scores.loss > 3"]
    assert run("sql", *options, "SELECT count(*) AS n FROM items", "--format", "csv").stdout == "n\n2\n"
    result = run("subset", *options, "--format", "json")
    assert json.loads(result.stdout)[-1]["items"] == 2
    assert NOTE in result.stderr
    result = run("diff", three_splits, *options, "--format", "json")
    assert (json.loads(result.stdout)["items"]["added"], result.exit_code) == (0, 0)
    assert NOTE in result.stderr


def test_an_export_is_made_again_with_its_table_and_its_list(run: Run, scores: Path, tmp_path: Path) -> None:
    write(tmp_path / "keys.csv", table().select([0, 1, 2]))
    given = ["--table", f"scores={scores}", "--items", "keys.csv"]
    result = run("export", "csv", "out", *given, "--where", "scores.loss > 1", "--columns", "image_id,scores.loss")
    assert result.exit_code == 0, result.output
    manifest = json.loads((tmp_path / "out/export.json").read_bytes())
    assert list(manifest["tables"]) == ["scores"]
    assert str(tmp_path) not in json.dumps(manifest)
    again = run("export", "--from-manifest", "out/export.json", "again", *given)
    assert (again.exit_code, "1 file with the same bytes as before." in again.stdout) == (0, True), again.output
    refused = run("export", "--from-manifest", "out/export.json", "other", "--items", "keys.csv")
    assert "scores (sha256 " in refused.stderr
    assert refused.exit_code == 2


def test_params_name_tables_and_a_subset_may_use_them(
    run: Run, scores: Path, three_splits: Path, tmp_path: Path
) -> None:
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/params.yaml").write_text(
        "tables: {scores: ../scores.parquet}\n"
        "subsets:\n  hard: {where: scores.loss > 3, table: scores}\n"
        "  with-file: {where: q.loss > 3, table: q=../scores.parquet}\n"
        "exports:\n  hard: {format: csv, options: {subset: hard, columns: 'image_id,scores.loss'}}\n"
    )
    params = ["--params", "lists/params.yaml"]
    assert run("sql", *params, "--table", "scores", "SELECT count(*) AS n FROM scores", "--format", "csv").stdout == (
        "n\n7\n"
    )
    for name in ("hard", "with-file"):
        assert json.loads(run("subset", *params, "--subset", name, "--format", "json").stdout)[-1]["items"] == 2
    (tmp_path / "params.yaml").write_text((tmp_path / "lists/params.yaml").read_text().replace("../", ""))
    staged = run("stage", "-r", three_splits, "export", "{exports.hard.format}", "out", "{exports.hard.options}")
    assert staged.exit_code == 0, staged.output
    assert (tmp_path / "out/data/train-00000-of-00001.csv").read_text() == "image_id,scores.loss\n1,3.5\n4,4.0\n"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("scores", "--table scores: there is no params.yaml, whose 'tables:' would name its file."),
        ("=x", "Expected --table NAME=FILE, or NAME of a table in params.yaml; found '=x'."),
        ("scores=", "found 'scores='."),
        ("items=x.csv", "'items' cannot name a table"),
        ("scores=missing.csv", "missing.csv does not exist"),
    ],
)
def test_a_table_that_is_none_is_refused(run: Run, value: str, message: str) -> None:
    result = run("sql", "--table", value, "SELECT 1")
    assert message in result.stderr
    assert result.exit_code != 0
    assert not result.stdout


def test_params_without_the_table_list_those_there_are(run: Run, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("tables: {scores: a.csv, folds: 7}\n")
    assert "Unknown table in params.yaml 'score'. Did you mean 'scores'?" in run("sql", "--table", "score", "x").stderr
    assert "params.yaml, table folds: expected a path or URL, found 7." in run("sql", "--table", "folds", "x").stderr
    result = run("sql", "--table", "a=b.csv", "--table", "a=c.csv", "x")
    assert "The table a is given twice." in result.stderr


def test_help_of_every_command_with_a_subset_shows_both_options() -> None:
    for command in (["sql"], ["subset"], ["diff"], ["export", "coco"]):
        text = CliRunner().invoke(main, [*command, "--help"]).stdout
        assert "--table NAME=FILE|URL" in text
        assert "--items FILE" in text
