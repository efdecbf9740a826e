"""Every name of DVC beyond its public API that this package uses.

DVC's public API (``dvc.api`` and the command) reads single files and works in a checkout. Opening the data of any
commit without a work tree, with the current remotes, needs its index and its file systems. pyproject.toml allows the
versions that have these names (``dvc>=3.60,<4``); ``tests/history/test_dvc_internals.py`` fails for a version that
lacks one of them.

Functions import this module when they need it: the import takes half a second.
"""

from __future__ import annotations

import dvc.logger  # type: ignore[import-untyped]  # noqa: F401  # sets up the loggers that a reader silences
from dvc.config import Config  # type: ignore[import-untyped]
from dvc.exceptions import DvcException  # type: ignore[import-untyped]
from dvc.fs import FileSystem, GitFileSystem, RemoteMissingDepsError  # type: ignore[import-untyped]
from dvc.output import Output  # type: ignore[import-untyped]
from dvc.repo import Repo, open_repo  # type: ignore[import-untyped]
from dvc.repo.index import Index  # type: ignore[import-untyped]
from dvc.scm import SCM, Git  # type: ignore[import-untyped]
from dvc_data.index.collect import collect
from dvc_data.index.fetch import fetch
from dvc_data.index.view import DataIndexView, view
from dvc_http import HTTPFileSystem  # type: ignore[import-untyped]

__all__ = [
    "SCM",
    "Config",
    "DataIndexView",
    "DvcException",
    "FileSystem",
    "Git",
    "GitFileSystem",
    "HTTPFileSystem",
    "Index",
    "Output",
    "RemoteMissingDepsError",
    "Repo",
    "collect",
    "fetch",
    "open_repo",
    "view",
]
