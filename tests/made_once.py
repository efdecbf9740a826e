"""Folders that are expensive to make: once in a run of the tests, for all its workers."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Return a folder that the first worker of pytest-xdist to need it makes; no test changes it.

    Args:
        factory: pytest's, whose folders of all workers have the same parent.
        name: of the folder, different for different contents.
        make: creates the folder at the path that it gets, and returns when it is complete.
    """
    base = factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made-once"
    shared.mkdir(exist_ok=True)
    folder, complete = shared / name, shared / f"{name}.complete"
    with FileLock(shared / f"{name}.lock"):
        if not complete.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed or was ended
            make(folder)
            complete.touch()
    return folder
