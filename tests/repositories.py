"""Small git repositories with DVC whose history has versions of a registry."""

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

#: A shortened dvc.yaml: its stages have the outputs of the committed pipeline.
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
        - data/registry/corrections/split=${item}: {persist: true}
        - data/registry/photos/split=${item}: {persist: true}
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

#: ``SMALL_SPLIT`` with an added user image, whose item makes a pair with a single shop item.
LARGER_SPLIT: dict[int | str, Any] = SMALL_SPLIT | {9: annotation([item(1, 1)], "user", 1)}


def set_apart(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Use temporary git and DVC settings and caches in this process and its children."""
    variables = {
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
    for name, value in variables.items():
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
        """Run git and return its output; each commit is dated a second after the commit before."""
        count = ["git", "rev-list", "--all", "--count"]
        num_commits = subprocess.run(count, cwd=self.root, check=False, capture_output=True, text=True).stdout.strip()
        environment = os.environ | {"GIT_COMMITTER_DATE": f"{1_800_000_000 + int(num_commits or 0)} +0000"}
        done = subprocess.run(
            ["git", *arguments], cwd=self.root, env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    @contextmanager
    def dvc(self) -> Iterator[Any]:
        """Yield a ``dvc.repo.Repo`` of the work tree."""
        from dvc.repo import Repo

        before = Path.cwd()
        os.chdir(self.root)
        try:
            with Repo() as repo, warnings.catch_warnings(action="ignore"):  # warnings of DVC's dependencies
                yield repo
        finally:
            os.chdir(before)

    def init(self, remote: str | None = None, subdir: bool = False) -> None:
        """Create the repository.

        Args:
            remote: URL of the default remote, if any.
            subdir: whether the git repository is in a parent folder and exists already.
        """
        from dvc.repo import Repo

        self.root.mkdir(parents=True, exist_ok=True)
        if not subdir:
            self.git("init", "-q", "-b", "main")
        Repo.init(str(self.root), subdir=subdir).close()
        if remote is not None:
            self.set_remote(remote)

    def set_remote(self, url: str) -> None:
        """Write the default remote into ``.dvc/config``, which is committed."""
        (self.root / ".dvc/config").write_text(
            f"[core]\n    remote = storage\n['remote \"storage\"']\n    url = {url}\n"
        )

    def ingest(self, split: str, annotations: dict[int | str, Any]) -> None:
        """Ingest annotations as a split of the registry in the work tree."""
        source = write_split(self.root.parent / "raw" / split, annotations)
        ingest(split, str(source), str(self.registry), jobs=1)
        shutil.rmtree(source)

    def count(self) -> None:
        """Write ``metrics/counts.json``, as the stage 'stats' does."""
        (self.root / "metrics").mkdir(exist_ok=True)
        stats = registry.open(str(self.registry)).stats()
        (self.root / "metrics/counts.json").write_text(json.dumps(stats, indent=1) + "\n")

    def lock(self) -> None:
        """Write dvc.lock for the work tree, as 'dvc repro' does."""
        with self.dvc() as repo:
            repo.commit(force=True)

    def add(self) -> None:
        """Track the registry with ``dvc add``."""
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
        """Remove DVC's cache and the files that df2 keeps from it."""
        shutil.rmtree(self.root / ".dvc/cache")
        shutil.rmtree(self.root / ".dvc/tmp/df2", ignore_errors=True)


def make_pipeline(folder: Path) -> Project:
    """Return a project with the pipeline and two versions of the data, pushed to a folder beside it.

    v1.0 has ``SMALL_SPLIT`` as train and a single image in validation. v2.0 has ``LARGER_SPLIT`` and ``VALIDATION``.
    v2.0.1 has the same data as v2.0.
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
    """Return a project with a single version of a registry, tracked by 'dvc add' and not pushed.

    Args:
        folder: parent of the folder ``project``.
        remote: URL of the default remote.
        subdir: subfolder of the git repository in which DVC is initialised.
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
