"""The committed DVC pipeline, run by ``dvc repro`` in a new repository."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.xdist_group("pipeline")


class Project:
    """A git repository with the committed pipeline."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def copy_pipeline(self) -> None:
        """Create the repository with the committed pipeline and the code that its stages depend on."""
        for name in ("registry", "schemas", "checks", "corrections", "tables"):
            shutil.copytree(ROOT / name, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))
        (self.root / ".dvc").mkdir()
        for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore", "dvc.yaml", "params.yaml"):
            shutil.copy(ROOT / name, self.root / name)
        self.run("git", "init", "-q")

    def run(self, *command: str, expect: int = 0) -> str:
        """Run a command that exits with ``expect``, and return its stdout and stderr."""
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        environment |= {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a"}
        environment |= {"GIT_COMMITTER_EMAIL": "a@b"}
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr

    def set_params(self, **changes: object) -> None:
        """Change params.yaml: ``train="raw"`` sets the source of a split, other names update a section."""
        params = yaml.safe_load((self.root / "params.yaml").read_text())
        for name, value in changes.items():
            if name in params["splits"]:
                params["splits"][name]["source"] = value
            else:
                params[name] |= value
        (self.root / "params.yaml").write_text(yaml.safe_dump(params))

    def ran(self, output: str) -> set[str]:
        """Return the stages that ran, without the fingerprint stages, which run every time."""
        stages = {line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")}
        return {stage for stage in stages if not stage.startswith("fingerprint@")}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Return a project whose pipeline has run on a sample release, with everything committed."""
    project = Project(tmp_path_factory.mktemp("work") / "project")
    project.copy_pipeline()
    project.run("df2", "sample", "raw", "--images", "12", "--seed", "3")
    project.set_params(train="raw", validation="raw", test="raw", sample={"images": 6})
    project.run("dvc", "repro", "-q")
    project.run("git", "add", ".")
    project.run("git", "commit", "-qm", "first")
    return project


def test_a_second_repro_runs_no_stage(project: Project) -> None:
    assert project.ran(project.run("dvc", "repro")) == set()


def test_another_scheduler_runs_no_stage(project: Project) -> None:
    project.set_params(cluster={"scheduler": "tcp://127.0.0.1:1"})
    assert project.ran(project.run("dvc", "repro")) == set()
    project.run("git", "checkout", "params.yaml")


def test_an_edited_annotation_runs_only_its_split_and_metrics_diff_shows_the_counts(project: Project) -> None:
    path = sorted((project.root / "raw/train/annos").iterdir())[0]
    before = path.read_bytes()
    document = json.loads(before)
    first = next(key for key in document if key.startswith("item"))
    document["item9"] = document[first]
    path.write_text(json.dumps(document))
    assert project.ran(project.run("dvc", "repro")) == {
        *("ingest@train", "photos@train", "manifest", "stats", "check", "report", "export@easy-skirts")
    }
    changes = json.loads(project.run("dvc", "metrics", "diff", "--json"))
    assert changes["metrics/counts.json"]["train.num_items"]["diff"] == 1
    assert changes["metrics/checks.json"]["duplicate-items"]["diff"] == 1
    assert not any(name.startswith("validation") for name in changes["metrics/counts.json"])
    path.write_bytes(before)
    project.run("dvc", "repro", "-q")
    assert project.run("git", "status", "--porcelain", "dvc.lock", "metrics") == ""


def test_a_changed_correction_runs_only_its_split_and_the_raw_files_stay(project: Project) -> None:
    path = sorted((project.root / "raw/train/annos").iterdir())[0]
    raw = path.read_bytes()
    item_no = next(key.removeprefix("item") for key in json.loads(raw) if key.startswith("item"))
    arguments = (str(int(path.stem)), item_no, "style=99", "--why", "seen", "--who", "Ann")
    project.run("df2", "correct", "train", *arguments)
    ran = project.ran(project.run("dvc", "repro"))
    assert ran >= {"ingest@train", "manifest", "stats"} and not ran & {"ingest@validation", "ingest@test"}
    query = "SELECT count(*) AS n, any_value(new) AS new FROM corrections"
    assert project.run("df2", "sql", "--format", "json", query) == '[{"n": 1, "new": "99"}]\n'
    assert path.read_bytes() == raw
    (project.root / "corrections/train.jsonl").unlink()
    project.run("dvc", "repro", "-q")
    assert project.run("git", "status", "--porcelain", "dvc.lock", "metrics") == ""


def test_a_named_export_runs_when_its_subset_changes_and_can_be_repeated_from_its_manifest(project: Project) -> None:
    dest = project.root / "data/exports/easy-skirts"
    before = {path.name: path.read_bytes() for path in dest.rglob("*.json")}
    assert json.loads(before["export.json"])["revision"] == {"dvc_stage": "export@easy-skirts"}
    assert project.ran(project.run("dvc", "repro", "export@easy-skirts")) == set()
    project.set_params(subsets={"easy-skirts": {"category": ["skirt", "trousers"], "scale": ["small", "moderate"]}})
    assert project.ran(project.run("dvc", "repro", "export@easy-skirts")) == {"export@easy-skirts"}
    changed = json.loads((dest / "export.json").read_bytes())
    assert changed["subset"] == {"category": ["trousers", "skirt"], "scale": [1, 2]}
    project.run("df2", "verify", "data/exports/easy-skirts")
    project.run("df2", "export", "--from-manifest", "data/exports/easy-skirts", "again")
    again = json.loads((project.root / "again/export.json").read_bytes())
    assert again["files"] == changed["files"]
    assert again["revision"]["dvc_lock"] == "differs"
    project.run("git", "checkout", "-q", "params.yaml")
    project.run("dvc", "repro", "-q")
    assert {path.name: path.read_bytes() for path in dest.rglob("*.json")} == before
    assert project.run("git", "status", "--porcelain", "dvc.lock") == ""


def test_a_changed_table_makes_the_exports_again(project: Project) -> None:
    table, rows = project.root / "tables/scores.csv", project.root / "data/exports/scored/data/train-00000-of-00001.csv"
    options = {"table": "scores", "where": "scores.loss > 2", "columns": "image_id,scores.loss", "limit": 1}
    project.set_params(
        tables={"scores": "tables/scores.csv"}, exports={"scored": {"format": "csv", "options": options}}
    )
    for loss in (3, 4):
        table.write_text(f"split,image_id,loss\ntrain,1,{loss}\n")
        assert project.ran(project.run("dvc", "repro", "export@scored")) == {"export@scored"}
        assert rows.read_text() == f"image_id,scores.loss\n1,{loss}\n"
    assert project.ran(project.run("dvc", "repro", "export@scored")) == set()
    table.unlink()
    project.run("git", "checkout", "-q", "params.yaml", "dvc.lock")
    project.run("dvc", "repro", "-q")


def test_added_and_removed_annotations_run_the_ingest_of_their_split(project: Project) -> None:
    annotations = project.root / "raw/validation/annos"
    added = annotations / "000999.json"
    shutil.copy(sorted(annotations.iterdir())[0], added)
    assert "ingest@validation" in project.ran(project.run("dvc", "repro"))
    added.unlink()
    assert "ingest@validation" in project.ran(project.run("dvc", "repro"))


def test_a_zip_of_the_same_files_runs_only_the_ingest_of_its_split(project: Project) -> None:
    shutil.make_archive(str(project.root / "train"), "zip", project.root / "raw", "train")
    project.set_params(train="train.zip")
    ran = project.ran(project.run("dvc", "repro"))
    after = "the tables are the same bytes, so after it runs only the report, which reads the photos"
    assert ran == {"ingest@train", "photos@train", "report"}, after
    project.set_params(train="raw")
    project.run("dvc", "repro", "-q")


# In dvc.lock, DVC breaks longer names over two lines and then cannot read the file.
HOSTILE = """it's "a";touch pwned1;$(touch pwned2)`touch pwned3`&x"""


def test_values_in_params_yaml_are_quoted_for_the_shell(project: Project) -> None:
    params = yaml.safe_load((project.root / "params.yaml").read_text())
    lock = (project.root / "dvc.lock").read_bytes()
    source = project.root / HOSTILE
    shutil.copytree(project.root / "raw", source)
    for split in params["splits"]:
        params["splits"][split]["source"] = HOSTILE
    params["subsets"][HOSTILE] = {"category": ["skirt"]}
    params["exports"] = {HOSTILE: {"format": "coco", "options": {"subset": HOSTILE, "where": "category_name <> ';'"}}}
    (project.root / "params.yaml").write_text(yaml.safe_dump(params))
    assert "ingest@train" in project.ran(project.run("dvc", "repro"))
    manifest = json.loads((project.root / "data/exports" / HOSTILE / "export.json").read_bytes())
    assert manifest["subset"] == {"category": ["skirt"], "where": "category_name <> ';'"}
    assert project.ran(project.run("dvc", "repro")) == set()
    # Unknown options and invalid values are usage errors of the command.
    for bad in ({"jobs": "1; touch pwned5"}, {"jobs; touch pwned6": 1}, {"jobs": {"touch": "pwned7"}}):
        project.set_params(ingest=bad)
        assert "Error: " in project.run("dvc", "repro", expect=255)
        project.run("git", "checkout", "-q", "params.yaml")
    assert not list(project.root.rglob("pwned*"))
    shutil.rmtree(source)
    shutil.rmtree(project.root / "data/exports" / HOSTILE)
    (project.root / "dvc.lock").write_bytes(lock)
    project.run("dvc", "repro", "-q")


def test_a_failed_ingestion_does_not_change_the_registry(project: Project) -> None:
    path = sorted((project.root / "raw/train/annos").iterdir())[0]
    before = path.read_bytes()
    manifest = (project.root / "data/registry/manifest.json").read_bytes()
    path.write_bytes(before[:-20])
    output = project.run("dvc", "repro", expect=255)
    assert f"train/annos/{path.name}: expected valid JSON" in output
    assert (project.root / "data/registry/manifest.json").read_bytes() == manifest
    assert json.loads(project.run("df2", "stats"))[0]["num_images"] > 0
    path.write_bytes(before)
    project.run("dvc", "repro", "-q")


def test_dvc_push_and_pull_work_with_the_committed_remote(project: Project) -> None:
    counts = project.run("df2", "stats")
    project.run("dvc", "push", "-q")
    clone = Project(project.root.parent / "clone")
    subprocess.run(["git", "clone", "-q", project.root, clone.root], check=True)
    clone.run("dvc", "pull", "-q")
    assert clone.run("df2", "stats") == counts
    assert "manifest.json" in os.listdir(clone.root / "data/registry")
