"""The committed DVC pipeline, run by ``dvc repro`` in a new repository."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from dvc.exceptions import ReproductionError

from registry.cli.main import main
from tests.made_once import made_once
from tests.repositories import Project as Repository
from tests.repositories import set_apart

ROOT = Path(__file__).parents[1]


pytestmark = pytest.mark.system


class Project(Repository):
    """A git repository with the committed pipeline."""

    def copy_pipeline(self) -> None:
        """Create the repository with the committed pipeline and the code that its stages depend on."""
        for name in ("registry", "schemas", "checks", "corrections", "tables"):
            shutil.copytree(ROOT / name, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))
        (self.root / ".dvc").mkdir()
        for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore", "dvc.yaml", "params.yaml"):
            shutil.copy(ROOT / name, self.root / name)
        self.git("init", "-q")

    def run(self, *command: str, expect: int = 0) -> str:
        """Run a command that exits with ``expect``, and return its stdout and stderr."""
        done = subprocess.run(command, cwd=self.root, capture_output=True, text=True, check=False)
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr

    def df2(self, *arguments: str) -> str:
        """Run ``df2`` in this process, in the working directory of the test, and return its stdout."""
        assert Path.cwd() == self.root
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 0, result.output
        return result.stdout

    def repro(self, *targets: str, **options: Any) -> set[str]:
        """Run ``dvc repro`` in this process; return the stages that ran, without those that run every time."""
        with self.dvc() as repo:
            return _without_fingerprints(stage.addressing for stage in repo.reproduce(list(targets), **options))

    def outdated(self) -> set[str]:
        """Return the stages that the next ``dvc repro`` would run, without those that run every time."""
        with self.dvc() as repo:
            return _without_fingerprints(repo.status())

    def set_params(self, **changes: object) -> None:
        """Change params.yaml: ``train="raw"`` sets the source of a split, other names update a section."""
        params = yaml.safe_load((self.root / "params.yaml").read_text())
        for name, value in changes.items():
            if name in params["splits"]:
                params["splits"][name]["source"] = value
            else:
                params[name] |= value
        (self.root / "params.yaml").write_text(yaml.safe_dump(params))


def _without_fingerprints(stages: Iterable[str]) -> set[str]:
    return {stage for stage in stages if not stage.startswith("fingerprint@")}


def set_up(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the stages find this ``df2``, and DVC keep its settings and caches in a folder."""
    set_apart(monkeypatch, folder)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")


@pytest.fixture(scope="session")
def pipeline_that_ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of :func:`make_project`, which no test changes."""
    return made_once(tmp_path_factory, "pipeline-that-ran", make_project)


def make_project(folder: Path) -> None:
    """Create a project whose pipeline has run on a sample release, with everything but the code committed."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        set_up(monkeypatch, folder)
        project = Project(folder / "project")
        project.copy_pipeline()
        project.run("df2", "sample", "raw", "--images", "12", "--seed", "3")
        project.set_params(
            **dict.fromkeys(("train", "validation", "test"), "raw"),
            sample={"images": 6},
            tables={"scores": "tables/scores.csv"},
            exports={"scored": {"format": "csv", "options": SCORED}},
        )
        set_scores(project, 3)
        project.run("dvc", "repro", "-q")
        project.git("add", ".", ":!registry", ":!schemas")
        project.git("commit", "-qm", "first")


#: The options of an export that reads a table of one's own.
SCORED = {"table": "scores", "where": "scores.loss > 2", "columns": "image_id,scores.loss", "limit": 1}


def set_scores(project: Project, loss: int) -> None:
    """Write the table of the export 'scored', with one row."""
    (project.root / "tables/scores.csv").write_text(f"split,image_id,loss\ntrain,1,{loss}\n")


@pytest.fixture
def project(pipeline_that_ran: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Return a project whose pipeline has run, which is the working directory; a test leaves it as it likes."""
    return copy_project(monkeypatch, pipeline_that_ran, tmp_path)


def copy_project(monkeypatch: pytest.MonkeyPatch, pipeline_that_ran: Path, folder: Path) -> Project:
    """Return a copy of the project whose pipeline has run, made the working directory."""
    set_up(monkeypatch, folder)
    shutil.copytree(pipeline_that_ran / "project", folder / "project")
    monkeypatch.chdir(folder / "project")
    return Project(folder / "project")


def test_a_second_repro_runs_no_stage_on_another_scheduler_either(project: Project) -> None:
    project.set_params(cluster={"scheduler": "tcp://127.0.0.1:1"})
    ran = [line for line in project.run("dvc", "repro").splitlines() if line.startswith("Running stage")]
    assert sorted(ran) == [f"Running stage 'fingerprint@{split}':" for split in ("test", "train", "validation")]


def test_an_edited_annotation_runs_only_its_split_and_metrics_diff_shows_the_counts(project: Project) -> None:
    path = sorted((project.root / "raw/train/annos").iterdir())[0]
    before = path.read_bytes()
    document = json.loads(before)
    first = next(key for key in document if key.startswith("item"))
    document["item9"] = document[first]
    path.write_text(json.dumps(document))
    assert project.repro("stats", "check") == {"ingest@train", "photos@train", "manifest", "stats", "check"}
    assert project.outdated() == {"report", "export@easy-skirts", "export@scored"}
    changes = json.loads(project.run("dvc", "metrics", "diff", "--json"))
    assert changes["metrics/counts.json"]["train.num_items"]["diff"] == 1
    assert changes["metrics/checks.json"]["duplicate-items"]["diff"] == 1
    assert not any(name.startswith("validation") for name in changes["metrics/counts.json"])
    path.write_bytes(before)
    project.repro()
    assert project.git("status", "--porcelain", "dvc.lock", "metrics") == ""


def test_a_changed_correction_runs_only_its_split_and_the_raw_files_stay(project: Project) -> None:
    path = sorted((project.root / "raw/train/annos").iterdir())[0]
    raw = path.read_bytes()
    item_no = next(key.removeprefix("item") for key in json.loads(raw) if key.startswith("item"))
    arguments = (str(int(path.stem)), item_no, "style=99", "--why", "seen", "--who", "Ann")
    project.df2("correct", "train", *arguments)
    ran = project.repro("stats")
    assert ran >= {"ingest@train", "manifest", "stats"} and not ran & {"ingest@validation", "ingest@test"}
    query = "SELECT count(*) AS n, any_value(new) AS new FROM corrections"
    assert project.df2("sql", "--format", "json", query) == '[{"n": 1, "new": "99"}]\n'
    assert path.read_bytes() == raw
    (project.root / "corrections/train.jsonl").unlink()
    project.repro("stats")
    assert project.git("status", "--porcelain", "dvc.lock", "metrics") == ""


def test_a_named_export_runs_when_its_subset_changes_and_can_be_repeated_from_its_manifest(project: Project) -> None:
    dest = project.root / "data/exports/easy-skirts"
    before = {path.name: path.read_bytes() for path in dest.rglob("*.json")}
    assert json.loads(before["export.json"])["revision"] == {"dvc_stage": "export@easy-skirts"}
    project.set_params(subsets={"easy-skirts": {"category": ["skirt", "trousers"], "scale": ["small", "moderate"]}})
    assert project.repro("export@easy-skirts") == {"export@easy-skirts"}
    changed = json.loads((dest / "export.json").read_bytes())
    assert changed["subset"] == {"category": ["trousers", "skirt"], "scale": [1, 2]}
    project.df2("verify", "data/exports/easy-skirts")
    project.df2("export", "--from-manifest", "data/exports/easy-skirts", "again")
    again = json.loads((project.root / "again/export.json").read_bytes())
    assert again["files"] == changed["files"]
    assert again["revision"]["dvc_lock"] == "differs"
    project.git("checkout", "-q", "params.yaml")
    project.repro("export@easy-skirts")
    assert {path.name: path.read_bytes() for path in dest.rglob("*.json")} == before
    assert project.git("status", "--porcelain", "dvc.lock") == ""


def test_a_changed_table_makes_the_exports_again(project: Project) -> None:
    rows = project.root / "data/exports/scored/data/train-00000-of-00001.csv"
    assert rows.read_text() == "image_id,scores.loss\n1,3\n"
    set_scores(project, 4)
    assert project.outdated() == {"export@easy-skirts", "export@scored"}
    assert project.repro("export@scored") == {"export@scored"}
    assert rows.read_text() == "image_id,scores.loss\n1,4\n"


def test_added_and_removed_annotations_run_the_ingest_of_their_split(project: Project) -> None:
    annotations = project.root / "raw/validation/annos"
    added = annotations / "000999.json"
    shutil.copy(sorted(annotations.iterdir())[0], added)
    assert "ingest@validation" in project.repro("ingest@validation")
    added.unlink()
    assert "ingest@validation" in project.repro("ingest@validation")


def test_a_zip_of_the_same_files_runs_only_the_ingest_of_its_split(project: Project) -> None:
    shutil.make_archive(str(project.root / "train"), "zip", project.root / "raw", "train")
    project.set_params(train="train.zip")
    assert project.repro("stats", "check") == {"ingest@train", "photos@train"}
    assert project.outdated() == {"report"}, "the tables are the same bytes, and the report reads the photos"


# In dvc.lock, DVC breaks longer names over two lines and then cannot read the file.
HOSTILE = """it's "a";touch pwned1;$(touch pwned2)`touch pwned3`&x"""


def test_values_in_params_yaml_are_quoted_for_the_shell(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    params = yaml.safe_load((project.root / "params.yaml").read_text())
    shutil.copytree(project.root / "raw", project.root / HOSTILE)
    params["splits"]["train"]["source"] = HOSTILE
    params["subsets"][HOSTILE] = {"category": ["skirt"]}
    params["exports"] = {HOSTILE: {"format": "coco", "options": {"subset": HOSTILE, "where": "category_name <> ';'"}}}
    (project.root / "params.yaml").write_text(yaml.safe_dump(params))
    export = f"export@{HOSTILE}"
    assert project.repro(export, "stats", "check", "report") == {"ingest@train", "photos@train", "report", export}
    manifest = json.loads((project.root / "data/exports" / HOSTILE / "export.json").read_bytes())
    assert manifest["subset"] == {"category": ["skirt"], "where": "category_name <> ';'"}
    assert project.outdated() == set(), "DVC reads these names from dvc.lock again"
    # Unknown options and invalid values are usage errors of the command.
    for bad in ({"jobs": "1; touch pwned5"}, {"jobs; touch pwned6": 1}, {"jobs": {"touch": "pwned7"}}):
        project.set_params(ingest=bad)
        with pytest.raises(ReproductionError):
            project.repro("ingest@train", single_item=True)
        assert "Error: " in capfd.readouterr().err
        project.git("checkout", "-q", "params.yaml")
    assert not list(project.root.rglob("pwned*"))


def test_a_failed_ingestion_does_not_change_the_registry(project: Project) -> None:
    path = sorted((project.root / "raw/train/annos").iterdir())[0]
    manifest = (project.root / "data/registry/manifest.json").read_bytes()
    path.write_bytes(path.read_bytes()[:-20])
    output = project.run("dvc", "repro", "manifest", expect=255)
    assert f"train/annos/{path.name}: expected valid JSON" in output
    assert (project.root / "data/registry/manifest.json").read_bytes() == manifest
    assert json.loads(project.df2("stats"))[0]["num_images"] > 0


def test_dvc_push_and_pull_work_with_the_committed_remote(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = project.df2("stats")
    project.run("dvc", "push", "-q")
    clone = Project(tmp_path / "clone")
    subprocess.run(["git", "clone", "-q", project.root, clone.root], check=True)
    clone.run("dvc", "pull", "-q")
    monkeypatch.chdir(clone.root)
    assert clone.df2("stats") == counts
    assert "manifest.json" in os.listdir(clone.root / "data/registry")
