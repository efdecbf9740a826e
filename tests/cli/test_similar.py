"""``df2 similar``: rows, notices, pictures and errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import registry
from tests.cli.conftest import Run
from tests.embeddings.test_similar import embeddings_of


@pytest.fixture
def opened(three_splits: Path) -> Any:
    return registry.open(str(three_splits))


def test_the_command_prints_rows_and_notices(run: Run, opened: Any) -> None:
    table = embeddings_of(opened)
    pq.write_table(pa.concat_tables([table, table.slice(0, 1)]), "e.parquet")
    result = run("similar", "train", 1, 1, "-k", 2, "--embeddings", "e.parquet", "--format", "csv")
    assert result.exit_code == 0, result.output
    header, *lines = result.stdout.splitlines()
    assert header == "split,image_id,item_no,source,pair_id,style,category_name,similarity,is_same_identity"
    expected = registry.similar(opened, "train", 1, 1, 2, embeddings=table).rows.to_pylist()
    assert [line.split(",")[:3] for line in lines] == [
        [row["split"], str(row["image_id"]), str(row["item_no"])] for row in expected
    ]
    assert "1 row of the embeddings has the item of an earlier row: not used." in result.stderr
    named = run("similar", "train", "000001.jpg", 1, "-k", 2, "--embeddings", "e.parquet", "--format", "csv")
    assert named.stdout == result.stdout


def test_the_command_draws_the_items(run: Run, opened: Any) -> None:
    pq.write_table(embeddings_of(opened), "e.parquet")
    words = ("similar", "train", 1, 1, "--embeddings", "e.parquet", "--show", "near.png", "--format", "csv")
    result = run(*words)
    assert result.exit_code == 0, result.output
    assert Path("near.png").read_bytes().startswith(b"\x89PNG")
    assert "near.png" in result.stderr
    assert "near.png" not in result.stdout


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("train", 1, 1, "-k", 0), 2, "0 is not in the range x>=1"),
        (("train", 1, "x"), 2, "'x' is not a valid integer"),
        (("train", 1, 99), 1, "train image 1 has no item 99"),
        (("train", 1, 1, "--embeddings", "none.parquet"), 1, "none.parquet"),
    ],
)
def test_bad_words_are_refused(run: Run, opened: Any, words: tuple[Any, ...], code: int, text: str) -> None:
    pq.write_table(embeddings_of(opened), "e.parquet")
    result = run("similar", *words, *(() if "--embeddings" in words else ("--embeddings", "e.parquet")))
    assert result.exit_code == code, result.output
    assert text in result.stderr
    assert result.stdout == ""
