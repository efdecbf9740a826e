"""Experiments of DVC with the committed pipeline: a parameter given on the command line, kept and undone."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.test_pipeline import ROOT, Project

pytestmark = pytest.mark.xdist_group("experiments")


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project with the committed pipeline over a split, run and committed."""
    project = Project(tmp_path_factory.mktemp("experiments") / "project")
    project.copy_pipeline()
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["splits"] = {"train": {"source": "raw"}}
    params["sample"]["images"] = 6
    (project.root / "params.yaml").write_text(yaml.safe_dump(params))
    project.run("df2", "sample", "raw", "--images", "12", "--seed", "3")
    project.run("dvc", "repro", "-q")
    project.run("git", "add", ".")
    project.run("git", "commit", "-qm", "first")
    return project


def exported(project: Project) -> Any:
    """Return the manifest of the committed export."""
    return json.loads((project.root / "data/exports/easy-skirts/export.json").read_bytes())


def test_an_experiment_runs_with_another_subset_and_is_undone(project: Project) -> None:
    before = exported(project)
    assert before["subset"]["category"] == ["skirt"]
    output = project.run("dvc", "exp", "run", "-S", "subsets.easy-skirts.category=[trousers,vest]")
    assert project.ran(output) == {"export@easy-skirts"}
    changed = exported(project)
    assert changed["subset"]["category"] == ["vest", "trousers"]
    assert changed["registry"] == before["registry"]
    assert len(project.run("dvc", "exp", "list", "--name-only").split()) == 1
    project.run("df2", "verify", "data/exports/easy-skirts")
    project.run("git", "checkout", "-q", ".")
    project.run("dvc", "checkout", "-q")
    assert exported(project) == before


def test_an_experiment_with_a_value_that_is_no_option_fails_with_the_commands_error(project: Project) -> None:
    output = project.run("dvc", "exp", "run", "-S", "subsets.easy-skirts.category=[hat]", expect=255)
    assert "Unknown category 'hat'" in output
    project.run("git", "checkout", "-q", ".")
    project.run("dvc", "checkout", "-q")


def test_garbage_collection_keeps_what_the_pipeline_needs(project: Project) -> None:
    counts = project.run("df2", "stats")
    project.run("dvc", "gc", "-w", "-f")
    assert project.ran(project.run("dvc", "repro")) == set()
    assert project.run("df2", "stats") == counts
