"""Git repositories with DVC in them: a checkout on this machine, or a clone of one elsewhere. The only user of git."""

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
from registry.redaction import printable, remember_url, without_user
from registry.storage.filesystems import local_path
from registry.storage.place import Place

#: What a git hook or alias sets; it would lead git to the repository that the hook runs for.
_OF_HOOKS: Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR")
_HASH: Final = re.compile(r"[0-9a-f]{7,64}")
_SHOWN_TAGS: Final = 20


@dataclass(frozen=True, slots=True)
class Repository:
    """A git repository with DVC in it.

    Attributes:
        name: how messages call it.
        folder: where git runs: the top folder of a checkout, or a bare clone.
        root: folder of DVC in the repository, ``""`` at the top.
        own: folder for what is made here of its revisions; neither git nor DVC look into it.
        dvc_folder: ``.dvc`` of the checkout that this is, or that it was cloned from; None if it is out of reach.
        url: what it was cloned from, or None.
    """

    name: str
    folder: Path
    root: str
    own: Path
    dvc_folder: Path | None
    url: str | None = None

    def git(self, *arguments: str, input: bytes | None = None, remote: str | None = None) -> bytes:
        """Return what git prints; see :func:`git`.

        Raises:
            StorageError: git fails; the message is its own.
        """
        # Said outright for a bare clone: git can be told to find none by itself (safe.bareRepository).
        where = ["--git-dir=."] if self.url is not None else []
        return git(self.folder, *where, *arguments, input=input, remote=remote)

    def path(self, inside: str) -> str:
        """Return a path below the folder of DVC as git has it."""
        return f"{self.root}/{inside}" if self.root else inside

    def commit(self, rev: str) -> str:
        """Return the full hash of the commit that a revision names.

        A clone asks its origin where a branch is now, and for what it has not seen; not for known tags and commits.

        Raises:
            UnknownNameError: there is no such revision; the message lists the tags.
            StorageError: the origin of a clone cannot be reached.
        """
        if self.url is not None and not self._is_known(rev):
            self.update(rev)
        found = self._find(rev)
        if found is None:
            listed = self.git("for-each-ref", "--sort=-version:refname", "--format=%(refname:short)", "refs/tags")
            tags = listed.decode().split()
            there = f"its tags are {first_names(tags, _SHOWN_TAGS)}" if tags else "it has no tag"
            raise UnknownNameError(f"There is no revision {rev!r} in {self.name}; {there}.")
        return found

    def update(self, rev: str = "HEAD") -> None:
        """Bring a clone up to date; a checkout is as it is.

        Args:
            rev: what is asked for, for the message.

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
            StorageError: git lacks one.
        """
        wanted = sorted(set(ids))
        answer = (
            self.git("cat-file", "--batch", input="".join(f"{one}\n" for one in wanted).encode()) if wanted else b""
        )
        found, at = {}, 0
        for one in wanted:
            line_end = answer.index(b"\n", at)
            header = answer[at:line_end].split()
            if len(header) != 3:
                raise StorageError(f"{self.name} lacks git's object {one}: try 'git fetch' or 'git fsck' there.")
            at = line_end + 1 + int(header[2])
            found[one] = answer[line_end + 1 : at]
            at += 1
        return found

    def _find(self, rev: str) -> str | None:
        if rev.startswith("-"):
            return None  # git would take it for an option
        try:
            return self.git("rev-parse", "--verify", "--quiet", f"{rev}^{{commit}}").decode().strip()
        except StorageError:
            return None

    def _is_known(self, rev: str) -> bool:
        """Return whether a clone has the one commit that a revision can ever mean."""
        kind = "refs/heads/" if _HASH.fullmatch(rev) else "refs/tags/"
        try:
            self.git("show-ref", "--verify", "--quiet", "--", f"{kind}{rev}")
        except StorageError:
            return kind == "refs/heads/" and self._find(rev) is not None
        return kind == "refs/tags/"


def find_repository(repo: str | None, path: str) -> tuple[Repository, str]:
    """Return a repository, and a path in it relative to the folder of DVC.

    Args:
        repo: folder of it, or URL, which is cloned once; None for that of the working directory.
        path: of the registry; absolute, or relative to the folder that holds ``.dvc``.

    Raises:
        NotFoundError: there is no repository, or no DVC in it.
        UsageError: the path leads out of it.
        StorageError: it cannot be cloned.
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
    """Return what git, run in a folder, prints.

    Args:
        folder: where git runs.
        arguments: of git, without credentials: other users of the machine can read them.
        input: for git's standard input.
        remote: URL of the repository elsewhere that git speaks with, with its credentials; None for none.

    Raises:
        MissingDependencyError: there is no git.
        StorageError: git fails, the message is its own; or a remote repository stays silent.
    """
    environment = {name: value for name, value in os.environ.items() if name not in _OF_HOOKS} | {"LC_ALL": "C"}
    command = ["git", "-C", str(folder), *arguments]
    try:
        if remote is None:
            done = subprocess.run(command, input=input, capture_output=True, check=False, env=environment)
        else:
            done = run_with_remote(command, environment, remote)
    except FileNotFoundError as error:
        raise MissingDependencyError("Revisions are read with git, which is not installed.") from error
    if done.returncode:
        text = printable(done.stderr.decode(errors="replace").strip(), keep="\n")
        raise StorageError(f"git says: {text or f'exit code {done.returncode}'}")
    return done.stdout


def revision_of(place: Place) -> dict[str, str]:
    """Return the git commit of the repository that a registry lies in, and whether its dvc.lock differs from it.

    Empty for a registry at a URL or outside of any repository. In a DVC stage it is the name of the stage: dvc.lock
    versions the export then, and the commit that will hold it does not exist yet.
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
        return {}  # no repository, or one without a commit
    return {"git": commit, "dvc_lock": "differs" if changed.strip() else "as committed"}


def user_cache() -> Path:
    """Return the folder below the user's cache directory in which clones and their data are kept."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    return Path(base if os.path.isabs(base) else os.path.expanduser("~/.cache")) / "deepfashion2-registry"


def _is_url(repo: str) -> bool:
    """Return whether this names a repository elsewhere: a URL, or ``host:path`` as git understands it."""
    return "://" in repo or (re.match(r"[^/]+:", repo) is not None and not os.path.exists(repo))


def _dvc_root(start: Path, top: Path, path: str) -> Path:
    """Return the folder that holds ``.dvc``: the start, one above it, or else one on the way down to the path."""
    above = [folder for folder in (start, *start.parents) if folder.is_relative_to(top)]
    below = [folder for folder in (start / path).parents if folder.is_relative_to(start)]
    for folder in (*above, *below):
        if (folder / ".dvc").is_dir():
            return folder
    raise NotFoundError(f"{start} is in a git repository without DVC: 'dvc init' makes it one with DVC.")


def _base(start: Path, root: Path) -> Path:
    """Return what a relative path is relative to: the folder of DVC, or a start above it."""
    return root if start.is_relative_to(root) else start


def _checked(inside: str, root: object) -> str:
    found = os.path.normpath(inside).replace(os.sep, "/")
    if found.split("/")[0] in ("..", ""):
        raise UsageError(f"The path {inside} leads out of the repository {root}.")
    return found


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
