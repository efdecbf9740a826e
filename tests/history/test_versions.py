"""The versions of the data in the history of real git repositories."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from registry.cli.context import Places
from registry.cli.versions import versions as versions_command
from registry.errors import NotFoundError, StorageError, UsageError
from registry.history.versions import Counts, Version, versions
from tests.repositories import LARGER_SPLIT, Project, make_added


@pytest.fixture
def project(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a copy of the project, without any data, in the working directory."""
    shutil.copytree(template / "project", tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    project = Project(tmp_path / "project")
    project.forget()
    return project


def shown(found: list[Version]) -> list[tuple[str, str, Counts | None]]:
    return [(version.subject, " ".join(version.tags), version.counts) for version in found]


FIRST, MORE = Counts(6, 9, 5), Counts(8, 11, 8)


def test_versions_are_the_commits_that_changed_the_data_with_the_tags_that_hold_it(project: Project) -> None:
    found = versions()
    assert shown(found) == [("More data", "v2.0 v2.0.1", MORE), ("First data", "v1.0", FIRST)]
    assert [version.commit for version in found] == [project.git("rev-parse", tag) for tag in ("v2.0", "v1.0")]
    assert [version.deltas for version in found] == [Counts(2, 2, 3), None]
    assert not (project.root / ".dvc/cache").exists(), "no data was needed"


def test_data_that_comes_back_is_a_version_again(project: Project) -> None:
    project.git("checkout", "-q", "v1.0", "--", "dvc.lock", "metrics")
    project.commit("Back", "v3.0")
    assert shown(versions())[0] == ("Back", "v3.0", FIRST)
    assert versions()[0].deltas == Counts(-2, -2, -3)


def test_tags_beside_the_first_parents_of_head_are_there_and_merges_are_one_version(project: Project) -> None:
    project.git("checkout", "-q", "-b", "fix", "v1.0")
    lock = (project.root / "dvc.lock").read_text()
    (project.root / "dvc.lock").write_text(lock.replace("size: ", "size: 1"))
    project.commit("Only words in dvc.lock", "v1.0.1")
    project.git("checkout", "-q", "v2.0", "--", "dvc.lock", "metrics")
    project.commit("Fixed", "v1.1")
    project.git("checkout", "-q", "main")
    project.git("checkout", "-q", "-b", "aside", "v1.0")
    project.git("merge", "-q", "--no-ff", "-m", "Merged", "main")
    assert shown(versions()) == [
        ("Merged", "", MORE),
        ("Fixed", "v1.1", MORE),
        ("More data", "v2.0 v2.0.1", MORE),
        ("First data", "v1.0 v1.0.1", FIRST),
    ]


def test_counts_that_do_not_belong_to_the_data_are_not_shown(project: Project) -> None:
    path = project.root / "metrics/counts.json"
    counts = json.loads(path.read_text())
    counts["train"]["num_items"] = 1000
    path.write_text(json.dumps(counts))
    project.git("checkout", "-q", "v1.0", "--", "dvc.lock")
    project.commit("Edited counts")
    # Of the same data, another commit has counts that belong to it.
    assert shown(versions())[0] == ("Edited counts", "", FIRST)
    lock = (project.root / "dvc.lock").read_text()
    other = lock.replace("split=train\n      hash: md5\n      md5: ", "split=train\n      hash: md5\n      md5: 0", 1)
    (project.root / "dvc.lock").write_text(other)
    project.commit("Edited data and counts")
    found = versions(fetch=False)[0]
    assert (found.subject, found.counts, found.deltas) == ("Edited data and counts", None, None)
    assert "is not in the cache" in found.reason


def test_counts_of_another_manifest_are_not_shown(project: Project) -> None:
    project.git("checkout", "-q", "v1.0", "--", "metrics")
    lock = (project.root / "dvc.lock").read_text()
    stats = project.git("show", "v1.0:dvc.lock").partition("  stats:\n")[2]
    (project.root / "dvc.lock").write_text(lock.partition("  stats:\n")[0] + "  stats:\n" + stats)
    marked = (
        (project.root / "dvc.lock")
        .read_text()
        .replace("split=train\n      hash: md5\n      md5: ", "split=train\n      hash: md5\n      md5: 0", 1)
    )
    (project.root / "dvc.lock").write_text(marked)
    project.commit("Stale counts")
    assert versions(fetch=False)[0].counts is None


def test_what_has_no_committed_counts_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = make_added(tmp_path)
    project.push()
    project.ingest("train", LARGER_SPLIT)
    project.add()
    project.commit("More", "v2.0")
    project.forget()
    monkeypatch.chdir(tmp_path)
    said: list[str] = []
    newest, oldest = versions(str(project.root), progress=said.append)
    assert oldest.counts == Counts(5, 8, 5)
    assert newest.counts is None
    assert "data/registry/: " not in newest.reason
    assert "neither in the cache" in newest.reason.lower()
    assert newest.deltas is None
    assert len(said) == 2
    assert versions(str(project.root), fetch=False)[1].counts == Counts(5, 8, 5), "it is there now"


def test_a_url_has_the_same_versions_and_those_that_came_later(project: Project) -> None:
    repo = f"file://{project.root}"
    assert versions(repo) == versions()
    project.git("checkout", "-q", "v1.0", "--", "dvc.lock")
    project.commit("Back", "v3.0")
    assert versions(repo)[0].tags == ("v3.0",)
    project.root.rename(project.root.parent / "gone")
    os.chdir(project.root.parent)
    with pytest.raises(StorageError, match="Cannot ask file:"):
        versions(repo)


def test_a_dvc_lock_amid_a_merge_is_no_version(project: Project) -> None:
    lock = (project.root / "dvc.lock").read_text()
    (project.root / "dvc.lock").write_text("<<<<<<< HEAD\n" + lock)
    project.commit("Broken", "broken")
    (project.root / "dvc.lock").write_text(lock)
    project.commit("Mended", "mended")
    assert shown(versions()) == [("More data", "v2.0 v2.0.1 mended", MORE), ("First data", "v1.0", FIRST)]


def test_without_any_version_the_error_says_so(project: Project) -> None:
    with pytest.raises(NotFoundError, match=r"No revision of .* has data at data/other"):
        versions(path="data/other")


def test_some_hundred_commits_are_read_at_once(project: Project) -> None:
    """Only a bound against reading commit by commit: each of them changes dvc.lock."""
    lock = (project.root / "dvc.lock").read_text()
    blobs = [lock.replace("cmd: 'true'", f"cmd: 'true' {number}", 1) for number in range(200)]
    parent, commands = "refs/heads/main^0", []
    for number, blob in enumerate(blobs):
        commands.append(
            f"commit refs/heads/main\ncommitter a <a@b> {1900000000 + number} +0000\ndata 1\nx\n"
            + (f"from {parent}\n" if number == 0 else "")
            + f"M 100644 inline dvc.lock\ndata {len(blob)}\n{blob}\n"
        )
    subprocess.run(["git", "fast-import", "--quiet"], input="".join(commands), text=True, check=True)
    assert shown(versions())[0] == ("More data", "v2.0 v2.0.1", MORE)


def run(*arguments: str, places: Places | None = None) -> Result:
    return CliRunner().invoke(versions_command, arguments, obj=places or Places("data/registry"))


def test_the_command_prints_rows_for_programs_and_a_table_for_people(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    newest, oldest = json.loads(run().stdout)
    assert newest == {
        "commit": project.git("rev-parse", "v2.0"),
        "date": newest["date"],
        "tags": ["v2.0", "v2.0.1"],
        "subject": "More data",
        "num_images": 8,
        "num_items": 11,
        "num_instance_pairs": 8,
        "delta_images": 2,
        "delta_items": 2,
        "delta_instance_pairs": 3,
        "reason": None,
    }
    assert oldest["delta_images"] is None
    heading = run("--format", "table").stdout.splitlines()[1].split()
    assert heading == [
        *("tags", "commit", "date", "num_images", "num_items", "num_instance_pairs"),
        *("delta_images", "delta_items", "delta_instance_pairs", "subject"),
    ]
    assert json.loads(run("--repo", f"file://{project.root}").stdout) == [newest, oldest]
    (project.root / "metrics/counts.json").unlink()
    project.git("checkout", "-q", "v1.0", "--", "dvc.lock")
    (project.root / "dvc.lock").write_text((project.root / "dvc.lock").read_text().replace("md5: ", "md5: 0", 1))
    commit = project.commit("No counts")
    done = run("--format", "table", "--no-fetch")
    assert f"{commit[:10]} is not counted: data/registry at" in done.stderr
    assert "NULL" in done.stdout
    assert isinstance(run(places=Places("data/registry", rev="v1.0")).exception, UsageError)
