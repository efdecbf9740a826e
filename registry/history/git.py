"""Git repositories with DVC: checkouts on this machine, and clones of repositories elsewhere. All calls of git."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from registry.errors import (
    MissingDependencyError,
    NotFoundError,
    StorageError,
    UnknownNameError,
    UsageError,
    first_names,
)
from registry.history.git_remotes import run_with_remote
from registry.redaction import printable, redact, remember_url, without_user
from registry.storage.filesystems import local_path
from registry.storage.place import Place

#: Variables that git sets for hooks and aliases; they would lead git to the repository of the hook.
_HOOK_VARIABLES: Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")
_HASH: Final = re.compile(r"[0-9a-f]{7,64}")
_SHOWN_TAGS: Final = 20


@dataclass(frozen=True, slots=True)
class Repository:
    """A git repository with DVC in it.

    Attributes:
        name: for messages.
        folder: working directory for git: the top folder of a checkout, or a bare clone.
        root: path in the repository of the folder that holds ``.dvc``; ``""`` at the top.
        own: folder for the registries of its commits; git and DVC ignore it.
        dvc_folder: ``.dvc`` of the checkout, or of the local checkout that was cloned; None if there is none.
        url: origin of a clone; None for a checkout.
    """

    name: str
    folder: Path
    root: str
    own: Path
    dvc_folder: Path | None
    url: str | None = None

    def git(self, *arguments: str, input: bytes | None = None, remote: str | None = None) -> bytes:
        """Return the output of git; see :func:`git`.

        Raises:
            StorageError: git fails; the message is git's.
        """
        # Git may be configured not to detect bare repositories (safe.bareRepository).
        options = ["--git-dir=."] if self.url is not None else []
        return git(self.folder, *options, *arguments, input=input, remote=remote)

    def path(self, inside: str) -> str:
        """Return the path in git of a path relative to the folder that holds ``.dvc``."""
        return f"{self.root}/{inside}" if self.root else inside

    def commit(self, rev: str) -> str:
        """Return the full hash of the commit of a revision.

        A clone fetches from its origin first, unless the revision is a tag or commit that it already has.

        Raises:
            UnknownNameError: there is no such revision; the message lists the tags.
            StorageError: the origin of a clone cannot be reached.
        """
        if self.url is not None and not self._is_known(rev):
            self.update(rev)
        commit = self._find(rev)
        if commit is None:
            output = self.git("for-each-ref", "--sort=-version:refname", "--format=%(refname:short)", "refs/tags")
            tags = output.decode().split()
            hint = f"its tags are {first_names(tags, _SHOWN_TAGS)}" if tags else "it has no tag"
            raise UnknownNameError(f"There is no revision {rev!r} in {self.name}; {hint}.")
        return commit

    def update(self, rev: str = "HEAD") -> None:
        """Fetch from the origin of a clone; a checkout is not changed.

        Args:
            rev: the requested revision, for messages.

        Raises:
            StorageError: the origin cannot be reached.
        """
        if self.url is None:
            return
        branches, tags = "+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"
        try:
            self.git("fetch", "--progress", "--prune", "--force", "origin", branches, tags, remote=self.url)
        except StorageError as error:
            raise StorageError(
                f"Cannot ask {self.name} where {rev} is now. {error}\nA tag or commit that was read before needs no "
                "connection."
            ) from error

    def blobs(self, ids: Iterable[str]) -> dict[str, bytes]:
        """Return the contents of git's objects: id -> bytes.

        Raises:
            StorageError: git lacks an object.
        """
        sorted_ids = sorted(set(ids))
        if not sorted_ids:
            return {}
        output = self.git("cat-file", "--batch", input="".join(f"{blob}\n" for blob in sorted_ids).encode())
        contents, position = {}, 0
        for blob in sorted_ids:
            line_end = output.index(b"\n", position)
            header = output[position:line_end].split()
            if len(header) != 3:
                raise StorageError(f"{self.name} lacks git's object {blob}: try 'git fetch' or 'git fsck' there.")
            position = line_end + 1 + int(header[2])
            contents[blob] = output[line_end + 1 : position]
            position += 1
        return contents

    def _find(self, rev: str) -> str | None:
        if rev.startswith("-"):
            return None  # git would read it as an option
        try:
            return self.git("rev-parse", "--verify", "--quiet", f"{rev}^{{commit}}").decode().strip()
        except StorageError:
            return None

    def _is_known(self, rev: str) -> bool:
        """Return whether a revision is a tag or commit that a clone has: fetching would not change its meaning."""
        kind = "refs/heads/" if _HASH.fullmatch(rev) else "refs/tags/"
        try:
            self.git("show-ref", "--verify", "--quiet", "--", f"{kind}{rev}")
        except StorageError:
            return kind == "refs/heads/" and self._find(rev) is not None
        return kind == "refs/tags/"


def find_repository(repo: str | None, path: str) -> tuple[Repository, str]:
    """Return a repository, and a path in it relative to the folder that holds ``.dvc``.

    Args:
        repo: folder of the repository, or its URL, which is cloned once; None for that of the working directory.
        path: of the registry; absolute, or relative to the folder that holds ``.dvc``.

    Raises:
        NotFoundError: there is no repository, or no DVC in it.
        UsageError: the path leads out of the repository.
        StorageError: the repository cannot be cloned.
    """
    if "://" in path:
        raise UsageError(f"The registry of a revision is a path in its repository, and {path} is a URL.")
    if repo is not None and _is_url(repo):
        return _find_in_clone(repo, path)
    start = Path(os.path.abspath(os.path.expanduser(repo or ".")))
    if repo is None and os.path.isabs(path):
        start = next(folder for folder in Path(path).parents if folder.is_dir())
    if not start.is_dir():
        raise NotFoundError(f"There is no folder {start}.")
    try:
        if git(start, "rev-parse", "--is-bare-repository").strip() == b"true":
            return _find_in_clone(str(start), path)
        top = Path(os.fsdecode(git(start, "rev-parse", "--show-toplevel")).rstrip("\n"))
    except StorageError as error:
        raise NotFoundError(f"{start} is not in a git repository, so it has no revisions. {error}") from error
    root = _dvc_root(start.resolve(), top, path)
    inside = os.path.join(start, path) if path.startswith("..") else path
    if os.path.isabs(inside):
        real = Path(os.path.realpath(os.path.dirname(inside)), os.path.basename(inside))
        inside = os.path.relpath(real, root)
    else:
        inside = os.path.relpath(os.path.join(_base(start.resolve(), root), inside), root)
    relative = root.relative_to(top).as_posix()
    own = root / ".dvc" / "tmp" / "df2"
    return Repository(str(root), top, "" if relative == "." else relative, own, root / ".dvc"), _checked(inside, root)


def git(folder: Path, *arguments: str, input: bytes | None = None, remote: str | None = None) -> bytes:
    """Return the standard output of git.

    Args:
        folder: working directory for git.
        arguments: of git, without credentials: other users of the machine can read them.
        input: for git's standard input.
        remote: URL, with credentials, of the remote repository that git contacts; None if it contacts none.

    Raises:
        MissingDependencyError: git is not installed.
        StorageError: git fails, with git's message; or a remote repository does not answer.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _HOOK_VARIABLES} | {"LC_ALL": "C"}
    command = ["git", "-C", str(folder), *arguments]
    try:
        if remote is None:
            result = subprocess.run(command, input=input, capture_output=True, check=False, env=environment)
        else:
            result = run_with_remote(command, environment, remote)
    except FileNotFoundError as error:
        raise MissingDependencyError("Revisions are read with git, which is not installed.") from error
    if result.returncode:
        text = printable(result.stderr.decode(errors="replace").strip(), keep="\n")
        raise StorageError(f"git says: {text or f'exit code {result.returncode}'}")
    return result.stdout


def revision_of(place: Place) -> dict[str, str]:
    """Return ``git`` (the commit of a registry's repository) and ``dvc_lock`` (whether dvc.lock differs from it).

    Empty for a registry at a URL or outside of any repository. In a DVC stage, ``dvc_stage`` alone: dvc.lock versions
    the export then, and its commit does not exist yet.
    """
    stage = os.environ.get("DVC_STAGE")
    if stage:
        return {"dvc_stage": stage}
    if place.path is None:
        return {}
    try:
        commit = git(place.path, "rev-parse", "--verify", "HEAD").decode().strip()
        changed = git(place.path, "status", "--porcelain", "--", ":/dvc.lock")
    except (StorageError, MissingDependencyError):
        return {}  # no repository, or no commit in it
    return {"git": commit, "dvc_lock": "differs" if changed.strip() else "as committed"}


def user_cache() -> Path:
    """Return the folder below the user's cache directory for clones and their data."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return Path(base if os.path.isabs(base) else os.path.expanduser("~/.cache")) / "deepfashion2-registry"


def _is_url(repo: str) -> bool:
    """Return whether a text names a remote repository: a URL, or git's ``host:path``."""
    return "://" in repo or (re.match(r"[^/]+:", repo) is not None and not os.path.exists(repo))


def is_missing_folder(url: str) -> bool:
    """Return whether a URL or path is an absolute path without a folder."""
    return os.path.isabs(url) and not os.path.isdir(url)


def shown_url(url: str) -> str:
    """Return a URL or path for messages, without secrets."""
    return f"{redact(url)}, which is not there" if is_missing_folder(url) else redact(url)


def _dvc_root(start: Path, top: Path, path: str) -> Path:
    """Return the folder that holds ``.dvc``: the start or a parent, else a folder between start and path."""
    above = [folder for folder in (start, *start.parents) if folder.is_relative_to(top)]
    below = [folder for folder in (start / path).parents if folder.is_relative_to(start)]
    for folder in (*above, *below):
        if (folder / ".dvc").is_dir():
            return folder
    raise NotFoundError(f"{start} is in a git repository without DVC: 'dvc init' makes it one with DVC.")


def _base(start: Path, root: Path) -> Path:
    """Return the folder against which a relative path is resolved: the root, or a start above it."""
    return root if start.is_relative_to(root) else start


def _checked(inside: str, root: object) -> str:
    path = os.path.normpath(inside).replace(os.sep, "/")
    if path.split("/")[0] in ("..", ""):
        raise UsageError(f"The path {inside} leads out of the repository {root}.")
    return path


def _find_in_clone(url: str, path: str) -> tuple[Repository, str]:
    remember_url(url)
    name = without_user(url)
    inside = _checked(path, name)
    own = _folder_of(name)
    folder = own / "git"
    _take_over(_folder_of(url), own, name)
    if not folder.is_dir():
        _clone(url, name, own)
    # The folder of DVC need not be the top one; it is the deepest on the way to the path.
    names = [f"{parent}/.dvc".removeprefix("./") for parent in Path(inside).parents]
    listed = git(folder, "--git-dir=.", "ls-tree", "-d", "--name-only", "-z", "HEAD", "--", *names)
    there = listed.decode().split("\0")
    root = next((one.removesuffix(".dvc").rstrip("/") for one in names if one in there), "")
    origin = local_path(url)
    dvc_folder = origin / root / ".dvc" if origin is not None and (origin / root / ".dvc").is_dir() else None
    return Repository(name, folder, root, own, dvc_folder, url), inside.removeprefix(f"{root}/")


def _folder_of(url: str) -> Path:
    return user_cache() / hashlib.sha256(url.encode()).hexdigest()[:16]


def _take_over(old: Path, own: Path, name: str) -> None:
    """Move the clone of a version up to 0.1.0, which kept the credentials of the URL in its configuration."""
    if old == own or not old.is_dir() or own.exists():
        return
    with suppress(OSError):  # another process did it, or it is cloned anew
        os.rename(old, own)
        git(own / "git", "--git-dir=.", "config", "remote.origin.url", name)


def _clone(url: str, name: str, own: Path) -> None:
    try:
        # The data may not be for everybody on the machine.
        own.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"Cannot write to {own.parent}: {error.strerror}") from error
    with Place(str(own)).lock():
        if (own / "git").is_dir():
            return  # another process made it meanwhile
        partial = own / "git.partial"
        shutil.rmtree(partial, ignore_errors=True)
        try:
            git(own, "clone", "--bare", "--progress", "--", name, str(partial), remote=url)
        except StorageError as error:
            shutil.rmtree(partial, ignore_errors=True)
            raise StorageError(f"Cannot clone {name}. {error}") from error
        os.rename(partial, own / "git")
