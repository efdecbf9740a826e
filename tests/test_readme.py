"""Queries, Python code and commands of the README and of how-to pages, run on the sample of 'make demo'."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

import registry
from tests.docs.blocks import Block, read_blocks, shows
from tests.docs.session import Session, packages_that_a_reader_lacks

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
GUIDES = ROOT / "docs" / "how-to"
QUESTIONS = [block for block in read_blocks(GUIDES / "twelve-questions.md") if block.language == "sql"]

# All tests of this file run in the same worker, which copies the sample and writes its files once.
pytestmark = [pytest.mark.system, pytest.mark.xdist_group("readme")]


@pytest.fixture(scope="module")
def demo_with_files(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a copy of the demo, which commands may change, and the files that they name."""
    folder = tmp_path_factory.mktemp("demo") / "demo"
    shutil.copytree(demo, folder)
    df2 = registry.open(str(folder / "data/registry"))
    scores = "SELECT split, image_id, item_no, (image_id + item_no) % 7 AS loss FROM items"
    csv.write_csv(df2.sql(scores).to_arrow_table(), folder / "scores.csv")
    write_predictions(df2, folder)
    return folder


@pytest.fixture
def session(demo_with_files: Path, tmp_path: Path) -> Iterator[Session]:
    """Yield a session in a folder with the files of the demo."""
    with open_session(demo_with_files, tmp_path) as opened:
        yield opened


@pytest.fixture(scope="module")
def session_of_all_pages(demo_with_files: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """Yield a session in which the commands of all pages run, in a folder with the files of the demo."""
    with open_session(demo_with_files, tmp_path_factory.mktemp("pages")) as opened:
        yield opened


@contextlib.contextmanager
def open_session(demo_with_files: Path, parent: Path) -> Iterator[Session]:
    """Yield a session in a new folder with links to the files of the demo."""
    folder, home = parent / "work", parent / "home"
    folder.mkdir()
    home.mkdir()
    for file in demo_with_files.iterdir():
        (folder / file.name).symlink_to(file)
    with Session(folder, home, packages_that_a_reader_lacks(README)) as opened:
        yield opened


def write_predictions(df2: registry.store.registry.Registry, folder: Path) -> None:
    """Write the files that the commands of evaluation name: the items of validation, a third of them left out."""
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
        (folder / f"{name}.json").write_text(json.dumps(some))
    vectors = pa.array([[row["pair_id"], row["style"], row["image_id"] / 1000] for row in rows], pa.list_(pa.float32()))
    keys = {name: [row[name] for row in rows] for name in ("split", "image_id", "item_no")}
    file = folder / "embeddings.parquet"
    pq.write_table(pa.table({**keys, "vector": vectors}), file)
    registry.evaluate(df2, "embeddings", str(file), submission=str(folder / "submission.json"), resamples=0)


def commands_of(blocks: list[Block]) -> list[Block]:
    """Return each line of the shell blocks as a block."""
    return [
        dataclasses.replace(block, text=f"{line}\n", line=block.line + number, output=None)
        for block in blocks
        if block.language == "sh"
        for number, line in enumerate(block.text.splitlines())
    ]


def test_the_page_has_twelve_queries_with_their_answers() -> None:
    assert [block.output is not None for block in QUESTIONS] == [True] * 12


@pytest.mark.parametrize("question", QUESTIONS, ids=range(1, 13))
def test_a_query_gives_the_printed_answer(question: Block, session: Session) -> None:
    session.run(question)


def test_the_printed_counts_are_those_of_the_demo(session: Session) -> None:
    (printed,) = [block for block in read_blocks(README) if block.language == "text" and "(df2 stats)" in block.text]
    for command in ("df2 stats", "df2 pairs --split train --pair-id 2"):
        real = session.run(dataclasses.replace(printed, language="sh", text=f"COLUMNS=80 {command}", output=None))
        assert shows(f"...\n{real}\n...", printed.text)


@pytest.mark.parametrize(
    ("page", "output"),
    [
        (README, "... ..."),
        (GUIDES / "ask.md", "... ... ... ...\n4 {'train': ...}\n{'degenerate-box': 1, ...\n... False"),
    ],
    ids=["README", "ask"],
)
def test_the_python_code_runs(page: Path, output: str, session: Session) -> None:
    (code,) = [block for block in read_blocks(page) if block.language == "python"]
    assert shows(output, session.run(code))


#: Commands that need no version of git and no file beside those of the demo.
PREFIXES = re.compile("df2 (catalog|check|evaluate|export|image|pairs|show|sql|stats|style|subset|tables|verify)")
#: Number of such commands of each page.
COMMANDS = {
    README: 16,
    GUIDES / "ask.md": 7,
    GUIDES / "checks.md": 4,
    GUIDES / "evaluation.md": 7,
    GUIDES / "pictures.md": 6,
    GUIDES / "subsets.md": 12,
}


@pytest.fixture(scope="module")
def commands_that_ran() -> set[str]:
    """Return the commands of other pages that ran: with the same data, they do not run again."""
    return set()


@pytest.mark.parametrize(("page", "number"), COMMANDS.items(), ids=[page.stem for page in COMMANDS])
def test_the_commands_of_a_page_run(
    page: Path, number: int, session_of_all_pages: Session, commands_that_ran: set[str]
) -> None:
    commands = [block for block in commands_of(read_blocks(page)) if PREFIXES.match(block.text)]
    assert len(commands) == number
    for command in commands:
        if command.text not in commands_that_ran:
            session_of_all_pages.run(command)
            commands_that_ran.add(command.text)
