"""The examples in the help of commands that ingest, export, move and check run on the registry of 'df2 sample'."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click
import pytest
from click.shell_completion import BashComplete
from click.testing import CliRunner, Result

from registry.cli.examples import examples_of
from registry.cli.export import export_command
from registry.cli.main import main
from registry.exports.builtin import FORMATS
from registry.sample import write_sample
from tests.own_rows import write

#: In an order in which each example has the files that it reads.
COMMANDS = (
    "ingest",
    "sample",
    "manifest",
    "fingerprint",
    "catalog",
    "stage",
    "subset",
    "export",
    "verify",
    "sync",
    "show",
)
PARAMS = "subsets:\n  easy-skirts: {category: [skirt]}\ningest: {jobs: 1}\nsplits:\n  train: {source: data/sample}\n"


def run(line: str) -> Result:
    """Run a command line in the working directory."""
    name, *words = shlex.split(line)
    assert name == "df2"
    return CliRunner().invoke(main, words, env={"DVC_STAGE": "ingest@train"})


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with data/sample, data/registry, params.yaml and a table of scores."""
    folder = tmp_path_factory.mktemp("sample")
    (folder / "params.yaml").write_text(PARAMS)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run("df2 sample --images 12 data/sample").exit_code == 0
        for split in ("train", "validation", "test"):
            result = run(f"df2 ingest --split {split} -j 1 data/sample data/registry")
            assert result.exit_code == 0, result.output
        write(Path("scores.parquet"))
        # With its attributes, so that the example of a COCO file leaves the registry as it is.
        assert run("df2 -r data/registry export coco coco --split train --attributes").exit_code == 0
        Path("coco/annotations/train.json").rename("instances.json")
        Path("sources.csv").write_text("000001.jpg,user\n")
    return folder


@pytest.fixture(autouse=True)
def working_directory(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run commands in the folder of the sample."""
    monkeypatch.chdir(sample)


def local_examples(command: click.Command) -> list[str]:
    """Return the examples of a command that name no remote place."""
    return [line for line in examples_of(command) if "://" not in line]


@pytest.mark.xdist_group("examples of commands")
@pytest.mark.parametrize("line", [line for name in COMMANDS for line in local_examples(main.commands[name])])
def test_an_example_runs_on_the_sample(line: str, sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if line == "df2 sample data/sample":
        line = "df2 sample data/other-sample"

        def write_few(folder: Path, images: int, *options: Any) -> Any:
            assert images == 240
            return write_sample(folder, 6, *options)

        monkeypatch.setattr("registry.sample.write_sample", write_few)
    elif line.startswith("df2 sample --images"):
        line = line.replace("600", "6")
    result = run(line)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("name", FORMATS)
def test_the_examples_of_a_format_run_on_the_sample(
    name: str, sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").symlink_to(sample / "data")
    monkeypatch.chdir(tmp_path)
    command = export_command.get_command(click.Context(export_command), name)
    assert command is not None
    lines = local_examples(command)
    assert lines
    for line in lines:
        result = run(line)
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize(
    ("words", "incomplete", "expected"),
    [
        (["subset", "--category"], "sk", ["skirt"]),
        (["subset", "--occlusion"], "", ["1", "2", "3"]),
        (["subset", "--subset"], "", ["easy-skirts"]),
        (["diff", "--split"], "t", ["train", "test"]),
        (["ingest", "--split"], "v", ["validation"]),
        (["export"], "coco", ["coco", "coco-per-category"]),
        (["export", "coco", "--source"], "", ["user", "shop"]),
        (["export", "yolo", "--task"], "p", ["pose"]),
        (["export", "yolo", "--images"], "c", ["copy"]),
    ],
)
def test_values_are_completed(words: list[str], incomplete: str, expected: list[str]) -> None:
    completer = BashComplete(main, {}, "df2", "_DF2_COMPLETE")
    assert [item.value for item in completer.get_completions(words, incomplete)] == expected
