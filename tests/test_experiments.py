"""Experiments of DVC with the committed pipeline: a parameter given on the command line, kept and undone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.test_pipeline import Project, copy_project, pipeline_that_ran

__all__ = ["pipeline_that_ran"]  # a fixture

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("experiments")]


@pytest.fixture(scope="module")
def project(pipeline_that_ran: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Yield a project whose pipeline has run, which is the working directory of all tests of this file."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        yield copy_project(monkeypatch, pipeline_that_ran, tmp_path_factory.mktemp("experiments"))


def exported(project: Project) -> Any:
    """Return the manifest of the committed export."""
    return json.loads((project.root / "data/exports/easy-skirts/export.json").read_bytes())


def test_an_experiment_runs_with_another_subset_and_is_undone(project: Project) -> None:
    before = exported(project)
    assert before["subset"]["category"] == ["skirt"]
    output = project.run("dvc", "exp", "run", "-S", "subsets.easy-skirts.category=[trousers,vest]")
    ran = [line for line in output.splitlines() if line.startswith("Running stage")]
    exports = ["Running stage 'export@easy-skirts':", "Running stage 'export@scored':"]
    assert sorted(line for line in ran if "fingerprint@" not in line) == exports, "all exports may name the subset"
    changed = exported(project)
    assert changed["subset"]["category"] == ["vest", "trousers"]
    assert changed["registry"] == before["registry"]
    assert len(project.run("dvc", "exp", "list", "--name-only").split()) == 1
    project.df2("verify", "data/exports/easy-skirts")
    project.git("checkout", "-q", ".")
    project.run("dvc", "checkout", "-q")
    assert exported(project) == before


def test_an_experiment_with_a_value_that_is_no_option_fails_with_the_commands_error(project: Project) -> None:
    output = project.run("dvc", "exp", "run", "-S", "subsets.easy-skirts.category=[hat]", expect=255)
    assert "Unknown category 'hat'" in output
    project.git("checkout", "-q", ".")
    project.run("dvc", "checkout", "-q")


def test_garbage_collection_keeps_what_the_pipeline_needs(project: Project) -> None:
    counts = project.df2("stats")
    project.run("dvc", "gc", "-w", "-f")
    assert project.repro() == set()
    assert project.df2("stats") == counts
