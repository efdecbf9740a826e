"""The README's queries, Python code and commands, run on the sample of 'make demo'."""

import json
import re
import shlex
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from pyarrow import csv

import registry
from registry.cli.main import main
from registry.ingest.build import ingest
from registry.sample import write_sample

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
QUESTIONS = re.findall(r"\*\*(\d+)\. .*?\*\*\n\n```sql\n(.*?)```\n```text\n(.*?)```", README, re.DOTALL)

# All tests of this file run in the same worker, which makes the sample once.
pytestmark = pytest.mark.xdist_group("readme")


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the registry that 'make demo' builds."""
    folder = tmp_path_factory.mktemp("demo")
    write_sample(folder / "data/sample")
    for split in ("train", "validation", "test"):
        ingest(split, str(folder / "data/sample"), str(folder / "data/registry"), jobs=1)
    return folder


def lines(text: str) -> list[str]:
    """Return the lines of a text without trailing spaces."""
    return [line.rstrip() for line in text.strip("\n").splitlines()]


def test_the_readme_has_twelve_numbered_queries() -> None:
    assert [number for number, _, _ in QUESTIONS] == [str(number) for number in range(1, 13)]


@pytest.mark.parametrize(("number", "query", "answer"), QUESTIONS)
def test_a_query_gives_the_printed_answer(
    demo: Path, number: str, query: str, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    result = CliRunner().invoke(main, ["-r", str(demo / "data/registry"), "sql", query, "--format", "table"])
    assert result.exit_code == 0, result.output
    assert [line for line in lines(result.output) if line] == lines(answer)


def test_the_printed_counts_are_those_of_the_demo(demo: Path) -> None:
    for command in (["stats"], ["pairs", "--split", "train", "--pair-id", "2"]):
        result = CliRunner().invoke(main, ["-r", str(demo / "data/registry"), *command, "--format", "table"])
        shown = "\n".join(line for line in lines(result.output) if line)
        assert shown in "\n".join(line for line in lines(README) if line)


def test_the_python_code_runs(demo: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(demo)
    exec(compile(code, "README.md", "exec"), {})
    out = capsys.readouterr().out
    assert re.fullmatch(
        r"[1-9]\d* [1-9]\d* [1-9]\d* [1-9]\d*\n4 \{'train': .*\}\n\{'degenerate-box': 1, .*\n[1-9]\d* False\n", out
    )


def write_predictions() -> None:
    """Write the files that the commands of evaluation name: the items of validation, a third of them left out."""
    df2 = registry.open("data/registry")
    rows = df2.sql("FROM items WHERE split = 'validation'").to_arrow_table().to_pylist()
    records = [
        {
            "image_id": row["image_id"],
            "category_id": row["category_id"],
            "score": 0.5,
            "bbox": [row["x1"], row["y1"], row["x2"] - row["x1"], row["y2"] - row["y1"]],
            "keypoints": row["landmarks"],
        }
        for row in rows
    ]
    for name, some in (("predictions", records), ("old", records[::2]), ("new", [*records[::3], *records[1::3]])):
        Path(f"{name}.json").write_text(json.dumps(some))
    vectors = pa.array([[row["pair_id"], row["style"], row["image_id"] / 1000] for row in rows], pa.list_(pa.float32()))
    keys = {name: [row[name] for row in rows] for name in ("split", "image_id", "item_no")}
    pq.write_table(pa.table({**keys, "vector": vectors}), "embeddings.parquet")
    registry.evaluate(df2, "embeddings", "embeddings.parquet", submission="submission.json", resamples=0)


def test_the_subset_export_and_verify_commands_run(demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(demo / "data")
    scores = "SELECT split, image_id, item_no, (image_id + item_no) % 7 AS loss FROM items"
    csv.write_csv(registry.open("data/registry").sql(scores).to_arrow_table(), "scores.csv")
    write_predictions()
    commands = [line for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
    commands = [
        line
        for line in commands
        if line.startswith(
            ("df2 check", "df2 evaluate", "df2 subset", "df2 export", "df2 verify", "df2 sql --table", "df2 show")
        )
    ]
    assert len(commands) == 24
    for line in commands:
        result = CliRunner().invoke(main, shlex.split(line, comments=True)[1:])
        assert result.exit_code == 0, f"{line}\n{result.output}"
