"""Whether a tag can be pulled by others: clones, pushes and pulls of real git and real DVC."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from registry.cli.release_check import release_check
from registry.errors import UnknownNameError
from registry.history.release_check import check_release
from registry.snapshot.manifest import read_manifest
from registry.storage.place import Place
from tests.repositories import Project

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Project:
    """Return a copy of the project with a bare 'origin' and a remote of DVC that others can read; v3.0 has both."""
    shutil.copytree(template / "project", tmp_path / "project")
    shutil.copytree(template / "storage", tmp_path / "storage")
    project = Project(tmp_path / "project")
    project.set_remote(str(tmp_path / "storage"))
    project.commit("A remote for everybody", "v3.0")
    subprocess.run(["git", "clone", "-q", "--bare", project.root, tmp_path / "origin.git"], check=True)
    project.git("remote", "add", "origin", str(tmp_path / "origin.git"))
    return project


def check(project: Project, tag: str, *options: str) -> tuple[int, str]:
    done = CliRunner().invoke(release_check, [tag, "--repo", str(project.root), *options], catch_exceptions=False)
    return done.exit_code, done.output


def test_a_release_that_others_can_pull_passes_every_step(project: Project, tmp_path: Path) -> None:
    (tmp_path / "dvc-global").mkdir()
    shared = f"[cache]\n    dir = {project.root}/.dvc/cache\n"  # an own cache of the user would prove nothing
    (tmp_path / "dvc-global/config").write_text(shared)
    code, output = check(project, "v3.0")
    num_files = len(read_manifest(Place(str(project.registry))).files)
    assert output == (
        f"ok   v3.0 is {project.git('rev-parse', 'v3.0')[:10]}, cloned from origin.\n"
        f"note The remote 'storage' is the folder {tmp_path}/storage: only who has it can pull.\n"
        f"ok   data/registry at v3.0 was pulled from 'storage' ({tmp_path}/storage).\n"
        f"ok   All {num_files} files are as they were written.\n"
        "ok   The counts are those in metrics/counts.json.\n"
        "v3.0 can be pulled.\n"
    )
    assert code == 0
    assert project.git("status", "--porcelain") == ""


def test_data_that_was_not_pushed_fails_and_says_what_to_do(project: Project, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / "storage")
    (tmp_path / "storage").mkdir()
    code, output = check(project, "v3.0")
    assert code == 1
    assert "fail data/registry at v3.0 is not whole. Neither in the cache" in output
    assert "check out v3.0 and run 'dvc push'" in output
    project.push()
    assert check(project, "v3.0")[0] == 0


def test_a_single_missing_file_is_named(project: Project, tmp_path: Path) -> None:
    largest = max(
        (path for path in (project.registry / "items").rglob("*.parquet")), key=lambda path: path.stat().st_size
    )
    content = largest.read_bytes()
    (stored,) = [path for path in (tmp_path / "storage").rglob("*") if path.is_file() and path.read_bytes() == content]
    stored.unlink()
    code, output = check(project, "v3.0")
    assert code == 1
    assert f"nor in the remote 'storage' ({tmp_path}/storage): {largest.relative_to(project.registry)}." in output


def test_a_remote_relative_to_the_checkout_is_checked_and_fails_unless_allowed(
    project: Project, tmp_path: Path
) -> None:
    code, output = check(project, "v1.0")
    assert code == 1
    assert "fail The remote 'storage' committed at v1.0 is ../../storage, relative to the checkout" in output
    assert f"Checked is {tmp_path}/storage." in output
    assert "files are as they were written." in output
    code, output = check(project, "v1.0", "--allow-relative")
    assert code == 0
    assert "note The remote 'storage' committed at v1.0 is ../../storage" in output


def test_a_tag_without_a_committed_remote_fails(project: Project) -> None:
    (project.root / ".dvc/config").write_text("")
    project.commit("No remote", "v4.0")
    project.git("push", "-q", "origin", "v4.0")
    project.set_remote("../../storage")
    code, output = check(project, "v4.0")
    assert code == 1
    assert "fail The .dvc/config committed at v4.0 names no default remote, so nobody can pull." in output


def test_a_tag_that_is_not_on_origin_or_another_one_there_fails(project: Project) -> None:
    project.git("tag", "v3.1")
    code, output = check(project, "v3.1")
    assert (code, output.splitlines()[0]) == (1, "fail v3.1 is not on origin: 'git push origin v3.1'.")
    project.git("tag", "--force", "v3.0", "HEAD~1")
    code, output = check(project, "v3.0")
    assert code == 1
    assert "Who pulled it keeps the old one: take a new tag." in output


def test_counts_of_other_data_fail_and_without_origin_the_checkout_is_cloned(project: Project) -> None:
    project.git("remote", "remove", "origin")
    path = project.root / "metrics/counts.json"
    path.write_text(path.read_text().replace('"num_items": 9', '"num_items": 8'))
    project.commit("Edited", "v4.0")
    code, output = check(project, "v4.0")
    assert code == 1
    assert "note Git has no remote 'origin', so nobody else has v4.0 yet." in output
    assert "fail metrics/counts.json is of other data: train.num_items is 8 in it, and 9 in the data" in output


def test_what_is_no_tag_is_wrong_usage(project: Project) -> None:
    with pytest.raises(UnknownNameError, match=r"There is no revision 'v9' in .*; its tags are v3\.0"):
        list(check_release("v9", str(project.root)))
    assert check(project, "main") == (2, "Error: 'main' is no tag: 'git tag main' makes one.\n")


def test_make_runs_the_check(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):  # of the make that may run this test
        monkeypatch.delenv(name, raising=False)
    command = ["make", "-n", "release-check"]
    done = subprocess.run([*command, "TAG=v1.0"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == [".venv/bin/python", "-m", "registry.cli.release_check", "v1.0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert "make release-check TAG=v1.0" in done.stderr
