"""``make release``: refusals, the files of a version, and that a release that fails leaves nothing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from registry import __version__
from tools.commands import FailedError, empty_environment, run
from tools.interpreters import find_interpreter
from tools.release import finish, release, work_tree
from tools.versions import check_version, read_version, write_version

ROOT = Path(__file__).parents[1]
FILES = {
    "registry/version.py": '"""The version."""\n\n__version__ = "0.9.1"\n',
    "CHANGELOG.md": "# Changelog\n\n## Unreleased\n\n- New.\n\n## 0.9.1 (2026-01-02)\n\n- Old.\n",
    "CITATION.cff": "cff-version: 1.2.0\nversion: 0.9.1\ndate-released: 2026-01-02\n",
    "docs/how-to/install.md": "pip install dist/deepfashion2_registry-0.9.1-py3-none-any.whl\n",
}


def git(folder: Path, *words: str) -> str:
    """Return the output of git."""
    return run(["git", *words], folder).strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the working directory: a repository of a package that cannot be built."""
    folder = tmp_path / "checkout"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.name", "Ada")
    git(folder, "config", "user.email", "ada@example.org")
    commit(folder)
    monkeypatch.chdir(folder)
    return folder


def commit(folder: Path, *options: str) -> str:
    """Commit everything; return the commit."""
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "change", *options)
    return git(folder, "rev-parse", "HEAD")


def state(folder: Path) -> list[str]:
    """Return all that a release changes: the commit, tags, work trees, changed and ignored files."""
    commands = ("rev-parse HEAD", "tag", "worktree list", "status --porcelain --ignored")
    return [git(folder, *command.split()) for command in commands]


def failure(*words: str) -> str:
    """Return the message of a release that fails."""
    result = CliRunner().invoke(release, words)
    assert result.exit_code == 1, result.output
    return result.stderr


@pytest.mark.parametrize(
    ("version", "text"),
    [
        ("0.9.1", "registry/version.py has version 0.9.1: expected a newer one, found 0.9.1."),
        ("0.9.0", "expected a newer one, found 0.9.0."),
        ("0.8.12", "expected a newer one, found 0.8.12."),
        ("v1.0.0", "Expected a version such as 1.2.0, found 'v1.0.0'"),
        ("1.0", "Expected a version such as 1.2.0, found '1.0'"),
        ("1.0.0rc1", "Expected a version such as 1.2.0, found '1.0.0rc1'"),
        ("01.0.0", "Expected a version such as 1.2.0, found '01.0.0'"),
    ],
)
def test_a_version_that_cannot_follow_is_refused(checkout: Path, version: str, text: str) -> None:
    before = state(checkout)
    assert text in failure(version)
    assert state(checkout) == before


def test_0_10_follows_0_9(checkout: Path) -> None:
    check_version("0.10.0", checkout)


@pytest.mark.parametrize(
    "text", ["## Unreleased\n\n## 0.9.1 (2026-01-02)\n\n- Old.\n", "# Changelog\n\n## Unreleased\n"]
)
def test_a_release_without_changes_is_refused(checkout: Path, text: str) -> None:
    (checkout / "CHANGELOG.md").write_text(text)
    commit(checkout)
    assert "CHANGELOG.md has no entry below '## Unreleased': there is nothing to release." in failure("1.0.0")


def test_a_changed_work_tree_is_refused_and_named(checkout: Path) -> None:
    (checkout / "new.txt").touch()
    assert failure("1.0.0") == ("Error: The work tree has changes: commit or remove them first.\n?? new.txt\n")


def test_a_commit_without_a_branch_is_refused(checkout: Path) -> None:
    git(checkout, "switch", "-q", "--detach")
    assert "No branch is checked out" in failure("1.0.0")


def test_a_tag_that_exists_is_refused(checkout: Path) -> None:
    git(checkout, "tag", "package-v1.0.0")
    assert "The tag package-v1.0.0 exists." in failure("1.0.0")


def test_a_release_that_fails_leaves_nothing_and_can_be_repeated(checkout: Path) -> None:
    before = state(checkout)
    for _ in range(2):
        assert "hatchling build" in failure("1.0.0")  # there is no pyproject.toml
        assert state(checkout) == before


def test_the_files_of_a_version(checkout: Path) -> None:
    names = write_version("1.0.0", "2026-12-01", checkout)
    assert names == sorted(FILES)
    assert {name: (checkout / name).read_text() for name in names} == {
        "registry/version.py": '"""The version."""\n\n__version__ = "1.0.0"\n',
        "CHANGELOG.md": (
            "# Changelog\n\n## Unreleased\n\n## 1.0.0 (2026-12-01)\n\n- New.\n\n## 0.9.1 (2026-01-02)\n\n- Old.\n"
        ),
        "CITATION.cff": "cff-version: 1.2.0\nversion: 1.0.0\ndate-released: 2026-12-01\n",
        "docs/how-to/install.md": "pip install dist/deepfashion2_registry-1.0.0-py3-none-any.whl\n",
    }


def test_a_file_without_the_version_is_an_error(checkout: Path) -> None:
    (checkout / "docs/how-to/install.md").write_text("pip install .\n")
    with pytest.raises(FailedError, match=r"install\.md: expected .* which the release replaces; found none\."):
        write_version("1.0.0", "2026-12-01", checkout)


def test_this_checkout_can_be_released(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text((ROOT / name).read_text(encoding="utf-8"), encoding="utf-8")
    major = int(__version__.partition(".")[0]) + 1
    write_version(f"{major}.0.0", "2030-01-01", tmp_path)
    assert read_version(tmp_path) == f"{major}.0.0"
    for name in FILES:
        assert __version__ not in (tmp_path / name).read_text(encoding="utf-8") or name == "CHANGELOG.md"


def test_the_branch_and_the_tag_come_together(checkout: Path) -> None:
    with work_tree(checkout) as (tree, _):
        (tree / "docs/how-to/install.md").write_text("new")
        released = commit(tree)
        assert git(checkout, "rev-parse", "HEAD") != released
        finish(released, "package-v1.0.0", checkout)
    assert git(checkout, "rev-parse", "HEAD", "package-v1.0.0^{commit}").split() == [released, released]
    assert state(checkout)[2:] == [f"{checkout}  {released[:7]} [main]", ""]
    assert (checkout / "docs/how-to/install.md").read_text() == "new"


def test_a_branch_that_moved_meanwhile_gets_no_tag(checkout: Path) -> None:
    with work_tree(checkout) as (tree, _):
        released = commit(tree, "--allow-empty")
        moved = commit(checkout, "--allow-empty", "-m", "meanwhile")
        with pytest.raises(FailedError, match="merge --quiet --ff-only"):
            finish(released, "package-v1.0.0", checkout)
    assert state(checkout)[:2] == [moved, ""]


def test_an_interpreter_that_does_not_run_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    for name in ("broken", "good"):
        (tmp_path / name).mkdir()
    broken, good = (tmp_path / name / f"python{version}" for name in ("broken", "good"))
    broken.write_text("#!/bin/sh\nexit 127\n")
    broken.chmod(0o755)
    good.symlink_to(sys.executable)
    monkeypatch.setenv("PATH", f"{broken.parent}:{good.parent}")
    assert find_interpreter(version) == good
    good.unlink()
    assert find_interpreter(version) is None
    (good.parent / "python3.99").symlink_to(sys.executable)
    assert find_interpreter("3.99") is None


def test_the_environment_of_a_fresh_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PIP_INDEX_URL", "PIP_CONSTRAINT", "PYTHONPATH", "https_proxy", "DF2_REGISTRY"):
        monkeypatch.setenv(name, "x")
    variables = empty_environment(tmp_path, tmp_path / "bin")
    assert {"PIP_INDEX_URL", "https_proxy", "HOME", "PATH", "LANG"} <= variables.keys()
    assert not {"PIP_CONSTRAINT", "PYTHONPATH", "DF2_REGISTRY"} & variables.keys()
    assert variables["PATH"].startswith(f"{tmp_path / 'bin'}:")


def test_make_release_without_a_version_says_how_to_name_it(tmp_path: Path) -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    (tmp_path / "Makefile").write_text(re.sub(r"(?m)^release: .*$", "release:", text))  # without the environment
    process = subprocess.run(["make", "release"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert process.returncode == 2
    assert "Name the version: make release VERSION=1.2.0" in process.stderr
