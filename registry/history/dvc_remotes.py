"""DVC's cache and remotes: those that are configured now, and those in the configuration of a commit."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from registry.history.git import Repository
from registry.redaction import without_user

if TYPE_CHECKING:
    from registry.history.dvc_internals import FileSystem, Git


@dataclass(slots=True)
class Remotes:
    """The remotes of a configuration.

    Attributes:
        default: name of the default remote, or None.
        options: name -> options in DVC's form.
        relative: name -> url as committed, of remotes whose url is relative to a checkout.
    """

    default: str | None = None
    options: dict[str, dict[str, Any]] = field(default_factory=dict)
    relative: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The url of the default remote, for messages."""
        return without_user(self.options[self.default]["url"]) if self.default else ""


def remotes_for(repository: Repository, scm: Git, committed: Remotes) -> Remotes:
    """Return the remotes for fetching the data of a commit.

    The current remotes come first, because data may have moved since the commit: those in the configuration of the work
    tree, or of a clone's default branch. Remotes that only the commit names are added.
    """
    from registry.history.dvc_internals import Config, GitFileSystem

    if repository.url is None:
        config = Config(str(repository.dvc_folder))
        now = Remotes(config["core"].get("remote"), dict(config["remote"]))
    else:
        now = committed_remotes(repository, GitFileSystem(scm=scm, rev="HEAD"))
    only_committed = {name: url for name, url in committed.relative.items() if name not in now.options}
    remotes = Remotes(None, committed.options | now.options, only_committed | now.relative)
    remotes.default = next((name for name in (now.default, committed.default) if name in remotes.options), None)
    return remotes


def committed_remotes(repository: Repository, fs: FileSystem) -> Remotes:
    """Return the remotes in the configuration of a commit, and those in the user's global configuration."""
    from registry.history.dvc_internals import Config

    folder = f"/{repository.path('.dvc')}"
    config = Config(folder, fs=fs)
    remotes = Remotes(config["core"].get("remote"), dict(config["remote"]))
    try:
        raw = Config.load_file(f"{folder}/config", fs=fs)
    except FileNotFoundError:
        return remotes
    for name, options in raw.get("remote", {}).items():
        url = options.get("url", "/")
        if not re.match(r"\w+://", url) and not os.path.isabs(os.path.expanduser(url)):
            # DVC resolves it against '/', as a commit has no folder around it.
            remotes.relative[name] = url
            if repository.dvc_folder is not None:
                remotes.options[name]["url"] = os.path.normpath(repository.dvc_folder / url)
    return remotes


def cache_settings(repository: Repository) -> dict[str, Any]:
    """Return the configuration of the cache: that of the checkout, or a shared cache for all clones."""
    from registry.history.dvc_internals import Config

    if repository.url is not None:
        return {"dir": str(repository.own.parent / "cache")}
    return {"dir": f"{repository.dvc_folder}/cache", **Config(str(repository.dvc_folder))["cache"]}
