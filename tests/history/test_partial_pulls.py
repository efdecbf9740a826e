"""A part of the data is pulled, and garbage is collected: what is there answers as before."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

import registry
from registry.cli.main import main
from registry.snapshot.verify import verify_registry
from registry.storage.place import Place
from tests.repositories import Project

TRAIN = ["data/registry/images/split=train", "data/registry/items/split=train"]
COUNTS = "SELECT split, count(*) FROM items GROUP BY split ORDER BY split"


@pytest.fixture
def project(template: Path, tmp_path: Path) -> Project:
    """Return a copy of the project with its data."""
    shutil.copytree(template / "project", tmp_path / "project")
    shutil.copytree(template / "storage", tmp_path / "storage")
    return Project(tmp_path / "project")


@pytest.fixture
def clone(project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a clone without data, whose folder is the working directory."""
    project.git("clone", "-q", str(project.root), str(tmp_path / "clone" / "project"))
    clone = Project(tmp_path / "clone" / "project")
    clone.set_remote(str(tmp_path / "storage"))
    monkeypatch.chdir(clone.root)
    return clone


def test_a_split_that_was_pulled_alone_is_a_registry_after_df2_manifest(clone: Project) -> None:
    with clone.dvc() as repo:
        repo.pull(TRAIN)
    assert [path.name for path in sorted(clone.registry.rglob("split=*"))] == ["split=train"] * 2
    done = CliRunner().invoke(main, ["manifest", "data/registry"])
    assert done.exit_code == 0, done.output
    opened = registry.open(str(clone.registry))
    assert opened.sql(COUNTS).fetchall() == [("train", 9)]
    # Style 1: three user and two shop items; style 2: one of each.
    assert opened.sql("SELECT count(*) FROM instance_pairs").fetchall() == [(7,)]
    assert verify_registry(Place(str(clone.registry))).is_whole


def test_a_whole_pull_after_that_gives_the_committed_version(clone: Project, project: Project) -> None:
    with clone.dvc() as repo:
        repo.pull(TRAIN)
    assert CliRunner().invoke(main, ["manifest", "data/registry"]).exit_code == 0
    with clone.dvc() as repo:
        repo.pull(force=True)
    assert registry.open(str(clone.registry)).manifest == registry.open(str(project.registry)).manifest
    assert verify_registry(Place(str(clone.registry))).is_whole


def test_an_earlier_manifest_of_a_part_says_what_is_missing(clone: Project) -> None:
    with clone.dvc() as repo:
        repo.pull([*TRAIN, "data/registry/manifest.json"])
    result = verify_registry(Place(str(clone.registry)))
    assert not result.is_whole
    folders = {path.rpartition("/")[0] for path in result.missing}
    assert folders >= {"images/split=validation", "items/split=validation/category_id=7", "categories"}
    assert not [folder for folder in folders if folder.startswith(("images/split=train", "items/split=train"))]


def test_garbage_collection_keeps_the_registry_of_the_work_tree(project: Project, tmp_path: Path) -> None:
    before = registry.open(str(project.registry)).sql(COUNTS).fetchall()
    with project.dvc() as repo:
        repo.gc(workspace=True)
    shutil.rmtree(project.registry)
    shutil.rmtree(tmp_path / "storage")
    with project.dvc() as repo:
        repo.checkout()
    assert registry.open(str(project.registry)).sql(COUNTS).fetchall() == before
    assert verify_registry(Place(str(project.registry))).is_whole
