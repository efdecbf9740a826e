"""'df2 stage': values of params.yaml become words of a command, and no shell sees them."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from registry.cli.main import main


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(
        "splits: {train: {source: 'my data'}}\n"
        "a: {x-y: [1, 'b c'], yes: true, no: false, half: 0.5}\n"
        "nested: {a: {b: [c d]}}\nday: {a: {b: 2020-01-01}}\nnothing:\nlist: [1]\n"
    )

    def invoke(*words: str, stage: str | None = "ingest@train") -> tuple[int, str]:
        result = CliRunner().invoke(main, ["stage", *words], env={"DVC_STAGE": stage})
        return result.exit_code, result.output

    return invoke


@pytest.mark.parametrize("name", ["ingest@train", "folder/dvc.yaml:ingest@train"])
def test_placeholders_become_values(name: str, run) -> None:  # type: ignore[no-untyped-def]
    code, output = run("ingest", "--split={@}", "{nothing}", "--", "{splits.@.source}", "to/{@}/{a.half}", stage=name)
    assert output.splitlines()[0] == "+ df2 ingest --split=train -- 'my data' to/train/0.5"
    assert output.splitlines()[1].startswith("Error: Found no annotations or photos of train at my data: expected")
    assert code == 3


def test_options_of_params_become_options(run) -> None:  # type: ignore[no-untyped-def]
    code, output = run("stats", "{a}")
    assert output.splitlines()[0] == "+ df2 stats --x-y=1 '--x-y=b c' --yes --no-no --half=0.5"
    assert "No such option" in output
    assert code == 2


def test_a_mapping_among_options_becomes_json(run) -> None:  # type: ignore[no-untyped-def]
    _, output = run("stats", "{nested}")
    assert output.splitlines()[0] == """+ df2 stats '--a={"b": ["c d"]}'"""


@pytest.mark.parametrize(
    ("words", "stage", "text"),
    [
        (["stats", "{b}"], None, "Error: params.yaml has no b."),
        (["stats", "{splits.@.source}"], "ingest@test", "Error: params.yaml has no splits.'test'.source."),
        (["stats", "{@}"], "stats", "Error: {@} is the name of a stage of DVC after its '@'"),
        (["stats", "{@}"], None, "Error: {@} is the name of a stage of DVC after its '@'"),
        (["stats", "x{a}"], None, "Error: params.yaml, a: expected a text or number, found {"),
        (["stats", "{list}"], None, "Error: params.yaml, list: expected a text or number, found [1]."),
        (["stats", "{day}"], None, "Error: params.yaml, day > a: expected texts, numbers and lists of them, found {"),
        (["--params", "none.yaml", "stats"], None, "Error: There is no none.yaml: the values of stages stand in it."),
    ],
)
def test_a_placeholder_without_a_value_ends_with_a_message(words: list[str], stage: str | None, text: str, run) -> None:  # type: ignore[no-untyped-def]
    code, output = run(*words, stage=stage)
    assert output.startswith(text)
    assert code in (1, 2)
