"""Where DVC looks for data: its cache, the remotes that are configured now, and those of a revision."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from registry.history.git import Repository
from registry.redaction import without_user

if TYPE_CHECKING:
    from dvc.fs import FileSystem  # type: ignore[import-untyped]
    from dvc.scm import Git  # type: ignore[import-untyped]


@dataclass(slots=True)
class Remotes:
    """Remotes that a configuration names.

    Attributes:
        default: name of the default remote, or None.
        options: name -> options as DVC takes them.
        relative: name -> url, as committed, of those that lie relative to a checkout.
    """

    default: str | None = None
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    relative: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The url of the default remote, as messages show it."""
        return without_user(self.options[self.default]["url"]) if self.default else ""


def remotes_for(repository: Repository, scm: Git, committed: Remotes) -> Remotes:
    """Return the remotes by which the data of a revision is looked for.

    Those of now come first, because data moves and a revision does not: the configuration of the work tree, or, of a
    clone, that of the default branch. What they do not name is taken from the revision.
    """
    from dvc.config import Config  # type: ignore[import-untyped]
    from dvc.fs import GitFileSystem

    if repository.url is None:
        config = Config(str(repository.dvc_folder))
        now = Remotes(config["core"].get("remote"), dict(config["remote"]))
    else:
        now = committed_remotes(repository, GitFileSystem(scm=scm, rev="HEAD"))
    gone = {name: url for name, url in committed.relative.items() if name not in now.options}
    found = Remotes(None, committed.options | now.options, gone | now.relative)
    found.default = next((name for name in (now.default, committed.default) if name in found.options), None)
    return found


def committed_remotes(repository: Repository, fs: FileSystem) -> Remotes:
    """Return the remotes in the configuration of a commit, with those that the user has for all repositories."""
    from dvc.config import Config

    folder = f"/{repository.path('.dvc')}"
    config = Config(folder, fs=fs)
    found = Remotes(config["core"].get("remote"), dict(config["remote"]))
    try:
        raw = Config.load_file(f"{folder}/config", fs=fs)
    except FileNotFoundError:
        return found
    for name, options in raw.get("remote", {}).items():
        url = options.get("url", "/")
        if not re.match(r"\w+://", url) and not os.path.isabs(os.path.expanduser(url)):
            # DVC takes it as relative to '/': in a commit there is no folder around the repository.
            found.relative[name] = url
            if repository.dvc_folder is not None:
                found.options[name]["url"] = os.path.normpath(repository.dvc_folder / url)
    return found


def cache_settings(repository: Repository) -> dict[str, Any]:
    """Return the configuration of the cache: a checkout's own, or one for all clones."""
    from dvc.config import Config

    if repository.url is not None:
        return {"dir": str(repository.own.parent / "cache")}
    return {"dir": f"{repository.dvc_folder}/cache", **Config(str(repository.dvc_folder))["cache"]}
