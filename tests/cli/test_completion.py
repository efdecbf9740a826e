"""Completion in a shell: the script, and the values that it offers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from registry.cli.main import main
from registry.dataset.tables import TABLES
from registry.dataset.views import load_views
from tests.cli.conftest import Run


def completions(*words: str) -> list[str]:
    """Return the completions of the last word."""
    completer = ShellComplete(main, {}, "df2", "_DF2_COMPLETE")
    return [item.value for item in completer.get_completions(list(words[:-1]), words[-1])]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("st",), ["stats", "style", "stage"]),
        (("pairs", "--split", ""), ["train", "validation", "test"]),
        (("pairs", "--split", "v"), ["validation"]),
        (("pairs", "--category", "short_"), ["short_sleeve_top", "short_sleeve_outwear", "short_sleeve_dress"]),
        (("pairs", "--format", ""), ["table", "md", "json", "jsonl", "csv"]),
        (("image", "tr"), ["train"]),
        (("style", "te"), ["test"]),
        (("tables", ""), [*TABLES, *load_views()]),
        (("tables", "image"), ["images", "image_pairs", "image_sizes"]),
        (("completion", ""), ["bash", "zsh", "fish"]),
    ],
)
def test_names_are_completed(words: tuple[str, ...], expected: list[str]) -> None:
    assert sorted(completions(*words)) == sorted(expected)


def test_a_completed_category_is_understood(run: Run) -> None:
    assert (
        run("pairs", "--category", "short_sleeve_top").stdout == run("pairs", "--category", "short sleeve top").stdout
    )


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_names_the_variable_of_df2(run: Run, shell: str) -> None:
    result = run("completion", shell)
    assert result.exit_code == 0
    assert f"_DF2_COMPLETE={shell}_complete" in result.stdout


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_with_the_script(run: Run) -> None:
    script = run("completion", "bash").stdout
    asked = f'{script}\nCOMP_WORDS=(df2 pairs --split val); COMP_CWORD=3; _df2_completion df2; echo "${{COMPREPLY[@]}}"'
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    shown = subprocess.run(["bash", "-c", asked], env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout == "validation\n"
