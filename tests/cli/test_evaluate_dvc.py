"""The stage of docs/how-to/evaluation.md in a repository with DVC: metrics and plots of two models."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from registry.store.registry import Registry
from tests.evaluation.generated import make_registry, unique_predictions
from tests.repositories import Project, set_apart

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("dvc")]

DOCS = Path(__file__).parents[2] / "docs" / "how-to" / "evaluation.md"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a repository with a registry, and the stage as the page has it."""
    set_apart(monkeypatch, tmp_path)
    project = Project(tmp_path / "project")
    project.init()
    shutil.copytree(make_registry(tmp_path), project.root / "data/registry")
    (project.root / ".gitignore").write_text("/data/\n")
    (stage,) = re.findall(r"```yaml\n(stages:.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    (project.root / "dvc.yaml").write_text(stage)
    return project


def dvc(project: Project, *arguments: str) -> str:
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["dvc", *arguments], cwd=project.root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def predict(project: Project, seed: int) -> None:
    """Write the predictions of a model."""
    records = unique_predictions(Registry(str(project.registry)), seed)
    (project.root / "predictions.json").write_text(json.dumps(records))


def test_the_metrics_and_plots_of_two_models_are_compared(project: Project) -> None:
    predict(project, 1)
    dvc(project, "repro", "-q")
    project.commit("first", "first")
    before = json.loads((project.root / "evaluation/metrics.json").read_text())
    predict(project, 2)
    dvc(project, "repro", "-q")
    after = json.loads((project.root / "evaluation/metrics.json").read_text())
    (changes,) = json.loads(dvc(project, "metrics", "diff", "first", "--json")).values()
    for name in ("AP", "AP50", "AR100"):
        assert changes[name] == {"old": before[name], "new": after[name], "diff": after[name] - before[name]}
    heavy = "occlusion=heavy"
    assert changes[f"{heavy}.AP"]["new"] == after[heavy]["AP"] != before[heavy]["AP"]
    assert "AP75" in dvc(project, "metrics", "show", "--md")
    page = Path(dvc(project, "plots", "diff", "first", "-o", "plots").strip().removeprefix("file://"))
    text = page.read_text(encoding="utf-8")
    assert "AP50" in text and "predicted" in text and "short sleeve top" in text
