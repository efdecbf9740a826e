"""The programs in examples/ run as users run them, and learn."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import registry
from registry.ingest.build import ingest
from registry.sample import write_sample

pytest.importorskip("torch", reason="needs torch: make test-torch")
pytest.importorskip("torchvision", reason="needs torchvision: make test-torch")

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a drawn release and its registry."""
    folder = tmp_path_factory.mktemp("sample")
    write_sample(folder / "photos")
    for split in ("train", "validation"):
        ingest(split, str(folder / "photos"), str(folder / "registry"), jobs=1)
    return folder


def run(name: str, sample: Path, number: int) -> str:
    """Return what an example prints."""
    command = [sys.executable, "-W", "error", EXAMPLES / name, sample / "registry", sample / "photos", str(number)]
    process = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr
    return process.stdout


def losses(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"loss (\d+\.\d+)", text)]


def chance_of_top_1(url: str) -> float:
    """Return top-1 of answers that are drawn at random from the shop items of validation."""
    query = """
        SELECT avg(coalesce(right_items, 0))
            / (SELECT count(*) FROM items WHERE split = 'validation' AND source = 'shop')
        FROM items LEFT JOIN (
            SELECT pair_id, style, count(*) AS right_items FROM items
            WHERE split = 'validation' AND source = 'shop' GROUP BY ALL
        ) USING (pair_id, style)
        WHERE split = 'validation' AND source = 'user' AND style > 0
    """
    return float(registry.open(url).sql(query).fetchall()[0][0])


@pytest.mark.timeout(300)
def test_the_retrieval_example_learns(sample: Path) -> None:
    text = run("train_retrieval.py", sample, 8)
    assert len(losses(text)) == 8
    assert losses(text)[-1] < 0.75 * losses(text)[0]
    before, after = (float(number) for number in re.findall(r"top-1 .*: (\d\.\d+)", text))
    chance = chance_of_top_1(str(sample / "registry"))
    assert 0.01 < chance < 0.1
    assert after > 4 * chance
    assert after > before


@pytest.mark.timeout(300)
def test_the_detection_example_learns(sample: Path) -> None:
    numbers = losses(run("train_detection.py", sample, 8))
    assert len(numbers) == 8
    assert sum(numbers[-3:]) < 0.9 * sum(numbers[:3])


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.py")), ids=lambda file: file.name)
def test_an_example_has_less_than_60_lines(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) < 60
