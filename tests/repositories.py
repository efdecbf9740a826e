"""Small git repositories with DVC in them, whose history has versions of a registry."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import registry
from registry.ingest.build import ingest
from tests.helpers import SMALL_SPLIT, annotation, item, write_split
from tests.registries import VALIDATION

#: The stages of the pipeline that matter here, with the outputs of the real one.
PIPELINE = """\
stages:
  ingest:
    foreach: [train, validation]
    do:
      cmd: "true"
      outs:
        - data/registry/images/split=${item}: {persist: true}
        - data/registry/items/split=${item}: {persist: true}
        - data/registry/retrieval_lists/split=${item}: {persist: true}
        - data/registry/quarantine/split=${item}: {persist: true}
  manifest:
    cmd: "true"
    deps: [data/registry/images, data/registry/items]
    outs:
      - data/registry/manifest.json: {persist: true}
      - data/registry/categories: {persist: true}
      - data/registry/landmark_slots: {persist: true}
  stats:
    cmd: "true"
    deps: [data/registry/manifest.json]
    metrics:
      - metrics/counts.json: {cache: false}
"""

#: One more consumer photo of train, with an item that has one counterpart.
LARGER_SPLIT: dict[int | str, Any] = SMALL_SPLIT | {9: annotation([item(1, 1)], "user", 1)}


def set_apart(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Keep git, DVC and the user's cache of this process, and of its children, away from those of the machine."""
    outside = {
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_SYSTEM": "/dev/null",
        "GIT_AUTHOR_NAME": "a",
        "GIT_AUTHOR_EMAIL": "a@b",
        "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b",
        "GIT_ALLOW_PROTOCOL": "file",
        "DVC_NO_ANALYTICS": "1",
        "DVC_GLOBAL_CONFIG_DIR": str(folder / "dvc-global"),
        "DVC_SYSTEM_CONFIG_DIR": str(folder / "dvc-system"),
        "DVC_SITE_CACHE_DIR": str(folder / "dvc-site"),
        "XDG_CACHE_HOME": str(folder / "user-cache"),
    }
    for name, value in outside.items():
        monkeypatch.setenv(name, value)


class Project:
    """A git repository with DVC in it.

    Args:
        root: the folder that holds ``.dvc``.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def registry(self) -> Path:
        """The registry in the work tree."""
        return self.root / "data/registry"

    def git(self, *arguments: str) -> str:
        """Return what git prints. Every commit is a second later than the one before."""
        count = ["git", "rev-list", "--all", "--count"]
        known = subprocess.run(count, cwd=self.root, check=False, capture_output=True, text=True).stdout.strip()
        environment = os.environ | {"GIT_COMMITTER_DATE": f"{1_800_000_000 + int(known or 0)} +0000"}
        done = subprocess.run(
            ["git", *arguments], cwd=self.root, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    @contextmanager
    def dvc(self) -> Iterator[Any]:
        """Yield DVC's object for the work tree."""
        from dvc.repo import Repo

        before = Path.cwd()
        os.chdir(self.root)
        try:
            with Repo() as repo, warnings.catch_warnings(action="ignore"):  # DVC's own
                yield repo
        finally:
            os.chdir(before)

    def init(self, remote: str | None = None, subdir: bool = False) -> None:
        """Make the repository, with a default remote if one is given."""
        from dvc.repo import Repo

        self.root.mkdir(parents=True, exist_ok=True)
        if not subdir:
            self.git("init", "-q", "-b", "main")
        Repo.init(str(self.root), subdir=subdir).close()
        if remote is not None:
            self.set_remote(remote)

    def set_remote(self, url: str) -> None:
        """Write the default remote into the configuration that is committed."""
        (self.root / ".dvc/config").write_text(
            f"[core]\n    remote = storage\n['remote \"storage\"']\n    url = {url}\n"
        )

    def ingest(self, split: str, annotations: dict[int | str, Any]) -> None:
        """Replace one split of the registry in the work tree."""
        source = write_split(self.root.parent / "raw" / split, annotations)
        ingest(split, str(source), str(self.registry), jobs=1)
        shutil.rmtree(source)
        (self.registry / ".lock").unlink(missing_ok=True)

    def count(self) -> None:
        """Write the counts, as the stage 'stats' does."""
        (self.root / "metrics").mkdir(exist_ok=True)
        stats = registry.open(str(self.registry)).stats()
        (self.root / "metrics/counts.json").write_text(json.dumps(stats, indent=1) + "\n")

    def lock(self) -> None:
        """Write dvc.lock for what is in the work tree, as 'dvc repro' does."""
        with self.dvc() as repo:
            repo.commit(force=True)

    def add(self) -> None:
        """Track the registry with one ``.dvc`` file."""
        with self.dvc() as repo:
            repo.add(str(self.registry))

    def push(self) -> None:
        """Push the data of the work tree to the default remote."""
        with self.dvc() as repo:
            repo.push()

    def commit(self, message: str, *tags: str) -> str:
        """Commit everything; return the hash."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", message)
        for tag in tags:
            self.git("tag", tag)
        return self.git("rev-parse", "HEAD")

    def forget(self) -> None:
        """Remove DVC's cache, and what was made of it."""
        shutil.rmtree(self.root / ".dvc/cache")
        shutil.rmtree(self.root / ".dvc/tmp/df2", ignore_errors=True)


def make_pipeline(folder: Path) -> Project:
    """Return a project like the real one, with two versions of the data, pushed to a folder beside it.

    v1.0 has train and an empty validation; v2.0 one image of train more, and validation. v2.0.1 changed no data.
    """
    project = Project(folder / "project")
    project.init("../../storage")
    (project.root / ".gitignore").write_text("/data/\n")
    (project.root / "dvc.yaml").write_text(PIPELINE)
    project.ingest("train", SMALL_SPLIT)
    project.ingest("validation", {1: annotation([item(7, 1)], "user", 1)})
    project.count()
    project.lock()
    project.push()
    project.commit("First data", "v1.0")
    project.ingest("train", LARGER_SPLIT)
    project.ingest("validation", VALIDATION)
    project.count()
    project.lock()
    project.push()
    project.commit("More data", "v2.0")
    (project.root / "README.md").write_text("words\n")
    project.commit("Words", "v2.0.1")
    return project


def make_added(folder: Path, remote: str | None = "../../storage", subdir: str = "") -> Project:
    """Return a project whose registry is tracked by 'dvc add', in one version, not pushed.

    Args:
        folder: gets the folder ``project``.
        remote: url of the default remote.
        subdir: folder of DVC in the git repository.
    """
    project = Project(folder / "project" / subdir)
    if subdir:
        Project(folder / "project").root.mkdir(parents=True)
        subprocess.run(["git", "init", "-q", "-b", "main"], cwd=folder / "project", check=True)
    project.init(remote, subdir=bool(subdir))
    project.ingest("train", SMALL_SPLIT)
    project.add()
    project.commit("Data", "v1.0")
    return project
