"""A path at a commit, and DVC's view of the data below it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from registry.history.dvc_remotes import Remotes
from registry.history.git import Repository, shown_url

if TYPE_CHECKING:
    from registry.history.dvc_internals import Output, Repo


@dataclass(frozen=True, slots=True)
class Wanted:
    """A path in a repository at a commit.

    Attributes:
        repository: the repository.
        commit: full hash.
        rev: the user's name of the commit, for messages.
        path: relative to the folder that holds ``.dvc``.
    """

    repository: Repository
    commit: str
    rev: str
    path: str

    def __str__(self) -> str:
        return f"{self.path} at {self.rev}"


@dataclass(slots=True)
class View:
    """DVC's view of a commit.

    Attributes:
        repo: opened without remotes, so that no remote is contacted unintentionally.
        outs: outputs below the path, or above it.
        remotes: remotes for fetching: those of today, and those of the commit that no longer exist.
        committed: the remotes in the configuration of the commit.
    """

    repo: Repo
    outs: list[Output]
    remotes: Remotes
    committed: Remotes

    @property
    def cache(self) -> str:
        """The folder of DVC's cache."""
        return str(self.repo.cache.local_cache_dir)

    @property
    def imported(self) -> list[str]:
        """The repositories that the data was imported from, if any."""
        return sorted({out.stage.deps[0].def_repo["url"] for out in self.outs if out.stage.is_repo_import})

    @property
    def source(self) -> str:
        """The place that data is fetched from, for messages."""
        if self.imported:
            return f"{', '.join(map(shown_url, self.imported))}, from where it was imported"
        if self.remotes.default is None:
            return "a remote, because none is the default"
        return f"the remote {self.remotes.default!r} ({shown_url(self.remotes.url)})"
