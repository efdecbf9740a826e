"""What an installation holds, and that asking and exporting work in one without DVC."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
#: Dependencies that only the pipeline, releases and ``--rev`` need.
PIPELINE = ("dvc", "configobj")

# Runs the command with DVC and everything that only DVC brings hidden.
WITHOUT_DVC = """
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"dvc", "dvc_data", "dvc_objects", "dvc_http", "scmrepo", "dulwich", "configobj"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Hidden())
from registry.cli.main import main
main()
"""


def requirement_lines(text: str) -> list[str]:
    """Return the lines of a requirements file that are not comments."""
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_the_list_without_dvc_is_the_projects_dependencies_without_those_of_the_pipeline() -> None:
    expected = [name for name in PROJECT["dependencies"] if not name.startswith(PIPELINE)]
    assert requirement_lines((ROOT / "requirements-without-dvc.txt").read_text(encoding="utf-8")) == expected
    assert len(expected) == len(PROJECT["dependencies"]) - len(PIPELINE)


def df2_without_dvc(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Return the finished run of a command in a process that cannot import DVC."""
    command = [sys.executable, "-c", WITHOUT_DVC, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.system
def test_questions_exports_and_copies_work_without_dvc(small_registry: Path, tmp_path: Path) -> None:
    registry = str(small_registry)
    for arguments in (
        ["-r", registry, "stats"],
        ["-r", registry, "sql", "SELECT count(*) FROM instance_pairs"],
        ["-r", registry, "subset", "--category", "skirt"],
        ["-r", registry, "export", "coco", "out"],
        ["verify", "out"],
        ["sync", registry, "copy"],
        ["verify", "copy"],
        ["diff", registry, "copy"],
    ):
        run = df2_without_dvc(tmp_path, *arguments)
        assert run.returncode == 0, f"{arguments}\n{run.stderr}"


def test_a_revision_without_dvc_is_an_error_that_says_how_to_install_it(tmp_path: Path) -> None:
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").touch()
    (tmp_path / "dvc.yaml").write_text("stages: {}\n", encoding="utf-8")
    person = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*person, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    run = df2_without_dvc(tmp_path, "--rev", "HEAD", "stats")
    assert (run.returncode, run.stdout) == (1, "")
    assert "--rev needs DVC: pip install 'dvc" in run.stderr


def test_every_extra_of_the_readme_and_the_page_on_installation_exists() -> None:
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/how-to/install.md"))
    named = {
        extra
        for part in text.split("registry[")[1:] + text.split(".whl[")[1:] + text.split("'.[")[1:]
        for extra in part.partition("]")[0].split(",")
    }
    assert named
    assert named <= set(PROJECT["optional-dependencies"])
