"""Runs the commands and the Python code of the pages on trainers, in order, on the drawn sample."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

import registry
from registry.cli.main import main

GUIDES = Path(__file__).parents[2] / "docs" / "how-to"
#: The guides one behind another, as the first leads to the others; its table of loaders names files of their own names.
PAGES = ("trainers", "trainers-detection", "trainers-metric-learning", "trainers-tools")
TEXTS = {page: (GUIDES / f"{page}.md").read_text(encoding="utf-8").partition("## Other loaders")[0] for page in PAGES}
TEXT = "".join(TEXTS.values())

# All tests of this file run in the same worker, which makes the sample once.
pytestmark = [pytest.mark.system, pytest.mark.xdist_group("docs-sample")]


def blocks(language: str) -> list[str]:
    """Return the blocks of code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture(scope="module")
def exported(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which all commands of the pages but those of other programs were run."""
    folder = tmp_path_factory.mktemp("trainers")
    (folder / "data").symlink_to(demo / "data")
    commands = [shlex.split(line, comments=True) for block in blocks("sh") for line in block.splitlines()]
    # A file that an annotation tool edited is the user's.
    ours = [words[1:] for words in commands if words[0] == "df2" and words[1] != "import"]
    assert len(ours) > 15
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in ours:
            result = CliRunner().invoke(main, words)
            assert result.exit_code == 0, f"{words}: {result.output}"
    return folder


def test_every_block_of_python_is_whole() -> None:
    assert len([ast.parse(block) for block in blocks("python")]) > 8


def test_every_trainer_of_the_table_has_a_section() -> None:
    links = re.findall(r"(?m)^\| \[([^]]+)\]\(([\w-]+)\.md#", TEXTS["trainers"])
    assert len(links) == 9
    assert [name for name, page in links if f"\n## {name}\n" not in TEXTS[page]] == []


def test_paths_in_the_pages_are_those_of_their_exports(exported: Path) -> None:
    paths = set(re.findall(r'["=`](?:/work/)?([\w-]+/[\w/.-]*\.(?:json|py|yaml|csv))["` \n]', TEXT))
    ours = {path for path in paths if not path.startswith("configs/")}  # of mmpose
    assert len(ours) > 8
    assert sorted(path for path in ours if not (exported / path).is_file()) == []


def test_the_swaps_and_sigmas_for_detectron2_are_those_of_the_registry(demo: Path) -> None:
    (block,) = (block for block in blocks("python") if "keypoint_flip_map" in block)
    (query,) = re.findall(r'\.sql\("(.*?)"\)', block)
    rows = registry.open(str(demo / "data" / "registry")).sql(query).fetchall()
    assert [slot for slot, _, _ in rows] == list(range(294))
    assert all(rows[swap][1] == slot for slot, swap, _ in rows)
    assert all(sigma > 0 for _, _, sigma in rows)


def test_hugging_faces_code_loads_its_export(exported: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets")
    monkeypatch.chdir(exported)
    (block,) = (block for block in blocks("python") if "load_dataset" in block)
    names: dict[str, list[str]] = {}
    exec(block.replace('split="train"', f'split="train", cache_dir={str(tmp_path)!r}'), names)
    assert names["names"][8] == "skirt"
