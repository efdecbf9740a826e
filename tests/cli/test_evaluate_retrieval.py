"""``df2 evaluate retrieval`` and ``df2 evaluate embeddings``: output, files and exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import registry
from tests.cli.conftest import Run
from tests.evaluation.retrieval_registry import LEFT, RIGHT, SUBMISSION, make_retrieval, record
from tests.evaluation.test_embeddings import rows_of


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry with lists."""
    return make_retrieval(tmp_path_factory.mktemp("small"), has_lists=True)


def test_scores_are_records_for_programs(run: Run, small: Path) -> None:
    Path("s.json").write_text(json.dumps(SUBMISSION))
    result = run("evaluate", "retrieval", "s.json", "--resamples", 0, "--by", "occlusion", registry=small)
    assert (result.exit_code, result.stderr) == (0, "")
    records = json.loads(result.stdout)
    assert records[0] == {
        "metric": "top-1", "slice": "all", "value": 1 / 3, "low": None, "high": None, "num_items": 3
    }  # fmt: skip
    assert [entry["metric"] for entry in records[:7]] == [
        "top-1", "top-5", "top-10", "top-15", "top-20", "mAP", "MRR"
    ]  # fmt: skip
    assert [entry["slice"] for entry in records[::7]] == [
        "all", "category=short sleeve top", "category=trousers", "category=skirt", "occlusion=slight or none",
        "occlusion=heavy",
    ]  # fmt: skip


def test_a_terminal_shows_what_is_published_below(run: Run, small: Path) -> None:
    Path("s.json").write_text(json.dumps(SUBMISSION))
    result = run("evaluate", "retrieval", "s.json", "--format", "md", "--rows", "items", registry=small)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in result.stdout.splitlines()]
    assert lines[0] == ["slice", "queries", "top-1", "top-5", "top-10", "top-15", "top-20", "mAP", "MRR"]
    assert lines[2][:2] == ["all", "4"]
    assert any(".524" in line for line in lines[3:])
    assert "have no right answer" not in result.stdout
    assert "note: 1 query has no right answer in the gallery" in result.stderr


def test_files_for_dvc_and_for_sql(run: Run, small: Path) -> None:
    Path("s.json").write_text(json.dumps(SUBMISSION))
    files = ["--metrics", "out/metrics.json", "--plots", "out/plots", "--items", "out/ranks.parquet"]
    assert run("evaluate", "retrieval", "s.json", *files, registry=small).exit_code == 0
    metrics = json.loads(Path("out/metrics.json").read_text())
    assert (metrics["top-5"], metrics["category=skirt"]["top-1"]) == (2 / 3, 0)
    assert Path("out/plots/cmc.csv").read_text().splitlines()[1].startswith(f"1,{1 / 3},")
    assert Path("out/plots/ranks.csv").exists()
    query = "SELECT image_id, item_no, ranks.kind FROM items JOIN ranks USING (split, image_id, item_no) ORDER BY ALL"
    result = run("sql", "--table", "ranks=out/ranks.parquet", query, registry=small)
    kinds = [(row["image_id"], row["item_no"], row["kind"]) for row in json.loads(result.stdout)]
    assert kinds == [(1, 1, "right"), (1, 2, "right"), (2, 1, "not detected")]
    options = ["--table", "ranks=out/ranks.parquet", "--where", "ranks.kind = 'not detected'"]
    assert run("export", "coco", "wrong", *options, registry=small).exit_code == 0


def test_bad_records_and_the_stop_of_the_script_have_exit_code_3(run: Run, small: Path) -> None:
    Path("s.json").write_text(json.dumps([*SUBMISSION, record(77, LEFT, 1, [])]))
    result = run("evaluate", "retrieval", "s.json", registry=small)
    assert result.exit_code == 3
    assert "1 query image that the registry does not have" in result.stderr
    result = run("evaluate", "retrieval", "s.json", "--skip-bad", registry=small)
    assert (result.exit_code, json.loads(result.stdout)[0]["value"]) == (0, 1 / 3)
    assert "note: s.json: 1 record left out\n" in result.stderr
    Path("s.json").write_text(json.dumps([record(6, LEFT, 9, [(5, RIGHT)])]))
    result = run("evaluate", "retrieval", "s.json", "--strict", "--rows", "items", registry=small)
    assert result.exit_code == 3
    assert "The official script would stop with an AssertionError" in result.stderr


def test_embeddings_and_their_submission(run: Run, small: Path) -> None:
    pq.write_table(rows_of(), "v.parquet")
    result = run("evaluate", "embeddings", "v.parquet", "--submission", "s.json", "--rows", "items", registry=small)
    assert result.exit_code == 0
    values = {entry["metric"]: entry["value"] for entry in json.loads(result.stdout) if entry["slice"] == "all"}
    assert (values["top-1"], values["MRR"]) == (3 / 4, 3 / 4)
    again = run("evaluate", "retrieval", "s.json", "--skip-bad", "--rows", "items", registry=small)
    assert again.stdout == result.stdout


def test_python_has_the_same_scores(run: Run, small: Path) -> None:
    Path("s.json").write_text(json.dumps(SUBMISSION))
    opened = registry.open(str(small))
    evaluation = registry.evaluate(opened, "retrieval", "s.json", subset={"category": "skirt"}, rows="items")
    assert evaluation.facts["queries"] == 2
    assert registry.evaluate(opened, "embeddings", rows_of(), distance="dot").value("top-1") == 1
