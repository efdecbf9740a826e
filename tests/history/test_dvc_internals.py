"""The names of DVC that this package uses exist in the installed version, with the parameters that it passes."""

from __future__ import annotations

import inspect
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from registry.history import dvc_internals

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", dvc_internals.__all__)
def test_every_name_exists(name: str) -> None:
    assert getattr(dvc_internals, name) is not None


@pytest.mark.parametrize(
    ("callable_object", "parameters"),
    [
        (dvc_internals.Config, ["dvc_dir", "fs"]),
        (dvc_internals.Config.load_file, ["path", "fs"]),
        (dvc_internals.GitFileSystem, ["scm", "rev"]),
        (dvc_internals.Repo, ["root_dir", "fs", "scm", "config"]),
        (dvc_internals.collect, ["idxs", "storage"]),
        (dvc_internals.fetch, ["idxs"]),
        (dvc_internals.view, ["index", "filter_fn"]),
    ],
    ids=lambda value: getattr(value, "__qualname__", ""),
)
def test_parameters_are_those_that_are_passed(callable_object: Any, parameters: list[str]) -> None:
    assert set(parameters) <= set(inspect.signature(callable_object).parameters)


def test_clones_of_imported_repositories_can_be_removed() -> None:
    assert isinstance(dvc_internals.open_repo.CLONES, dict)
    assert callable(dvc_internals.open_repo.clean_repos)


def test_the_installed_version_is_in_the_range_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (requirement,) = [name for name in project["dependencies"] if name.startswith("dvc")]
    assert requirement == "dvc>=3.60,<4"
    major, minor, *_ = map(int, version("dvc").split("."))
    assert (3, 60) <= (major, minor) < (4, 0)
