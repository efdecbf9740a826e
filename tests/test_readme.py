"""Queries, Python code and commands of the README and of how-to pages, run on the sample of 'make demo'."""

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
GUIDES = ROOT / "docs" / "how-to"
TWELVE = (GUIDES / "twelve-questions.md").read_text(encoding="utf-8")
QUESTIONS = re.findall(r"\*\*(\d+)\. .*?\*\*\n\n```sql\n(.*?)```\n```text\n(.*?)```", TWELVE, re.DOTALL)

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


def test_the_page_has_twelve_numbered_queries() -> None:
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


@pytest.mark.parametrize(
    ("page", "output"),
    [
        (ROOT / "README.md", r"[1-9]\d* [1-9]\d*\n"),
        (GUIDES / "ask.md", r"([1-9]\d* ){3}[1-9]\d*\n4 \{'train': .*\}\n\{'degenerate-box': 1, .*\n[1-9]\d* False\n"),
    ],
    ids=["README", "ask"],
)
def test_the_python_code_runs(
    page: Path,
    output: str,
    demo: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "data").symlink_to(demo / "data")
    monkeypatch.chdir(tmp_path)
    exec(compile(code, str(page), "exec"), {})
    assert re.fullmatch(output, capsys.readouterr().out)


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


#: Commands that need no version of git and no file beside those that the test writes.
PREFIXES = re.compile("df2 (catalog|check|evaluate|export|image|pairs|show|sql|stats|style|subset|tables|verify)")
#: Number of such commands of each page.
COMMANDS = {
    ROOT / "README.md": 16,
    GUIDES / "ask.md": 7,
    GUIDES / "checks.md": 4,
    GUIDES / "evaluation.md": 7,
    GUIDES / "pictures.md": 6,
    GUIDES / "subsets.md": 12,
}


@pytest.mark.parametrize(("page", "number"), COMMANDS.items(), ids=[page.stem for page in COMMANDS])
def test_the_commands_of_a_page_run(
    page: Path, number: int, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").symlink_to(demo / "data")
    scores = "SELECT split, image_id, item_no, (image_id + item_no) % 7 AS loss FROM items"
    csv.write_csv(registry.open("data/registry").sql(scores).to_arrow_table(), "scores.csv")
    write_predictions()
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    commands = [line for block in blocks for line in block.splitlines() if PREFIXES.match(line)]
    assert len(commands) == number
    for line in commands:
        result = CliRunner().invoke(main, shlex.split(line, comments=True)[1:])
        assert result.exit_code == 0, f"{line}\n{result.output}"
