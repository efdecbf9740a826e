"""The registry as of a git revision: a folder of links to DVC's cache. The work tree is not touched."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

from registry.dataset.names import is_relative_path, shown
from registry.errors import NotFoundError, RegistryFormatError, StorageError
from registry.files.local_files import hard_link
from registry.history.dvc_data import tracked_files, tracked_paths
from registry.history.dvc_view import Wanted
from registry.history.git import Repository, find_repository
from registry.snapshot.manifest import MANIFEST_NAME, Manifest
from registry.storage.place import Place

_STAGING: Final = ".staging-"
_SHOWN_PATHS: Final = 10
#: Files of git beside the data that are not part of it.
NO_DATA: Final = (".gitignore", ".dvcignore", "dvc.yaml", "dvc.lock")


def checkout(
    rev: str,
    repo: str | None = None,
    path: str = "data/registry",
    *,
    fetch: bool = True,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Return a local folder with the registry as of a git revision; the work tree is not touched.

    Data that is not in DVC's cache is fetched from the remote once: the next call finds the folder, and needs neither
    DVC nor the remote. Files are hard links to the cache, or copies if it is on another file system, so 'dvc gc' does
    not remove them. Processes and threads may call this at the same time.

    Args:
        rev: a tag, a commit, or any other revision of git.
        repo: folder of the repository, or its URL; None for that of the working directory. A URL (also ``file://``) is
            cloned below the user's cache directory, once, and its data is kept there too.
        path: of the registry, relative to the folder that holds ``.dvc``; or absolute, in a repository on this machine.
        fetch: whether data may be fetched.
        progress: called with a line before data is fetched.

    Raises:
        NotFoundError: there is no repository, no DVC in it, or no registry at this path in this revision.
        UnknownNameError: there is no such revision; the message lists the tags.
        StorageError: data is neither in the cache nor on the remote, or one of them cannot be used.
        RegistryFormatError: the path holds no registry, or an incomplete one was committed.
        MissingDependencyError: git, DVC or the remote's plugin is not installed.
    """
    repository, inside = find_repository(repo, path)
    commit = repository.commit(rev)
    return checkout_commit(repository, commit, inside, rev=rev, fetch=fetch, progress=progress)


def checkout_commit(
    repository: Repository,
    commit: str,
    inside: str,
    *,
    rev: str | None = None,
    fetch: bool = True,
    progress: Callable[[str], None] | None = None,
) -> Path:
    """Return the folder of :func:`checkout` for a commit given by its full hash; ``rev`` is for messages."""
    folder = repository.own / f"{commit}-{hashlib.sha256(inside.encode()).hexdigest()[:16]}"
    if _is_whole(folder):
        return folder
    wanted = Wanted(repository, commit, rev or commit[:12], inside)
    with Place(str(repository.own)).lock():
        if not _is_whole(folder):  # another process may have made it meanwhile
            try:
                _make(folder, wanted, fetch, progress)
            except OSError as error:
                raise StorageError(f"Cannot write {error.filename or folder}: {error.strerror or error}") from error
    return folder


def _is_whole(folder: Path) -> bool:
    """Return whether a folder has a manifest and all of its files."""
    try:
        manifest = Manifest.from_json((folder / MANIFEST_NAME).read_bytes(), str(folder / MANIFEST_NAME))
    except (OSError, RegistryFormatError):
        return False
    return all((folder / file.path).is_file() for file in manifest.files)


def _make(folder: Path, wanted: Wanted, fetch: bool, progress: Callable[[str], None] | None) -> None:
    """Make the folder of a commit in a staging folder, and move it to its place when it is complete."""
    for stale in folder.parent.glob(f"{_STAGING}*"):  # of killed processes, as this process holds the lock
        shutil.rmtree(stale, ignore_errors=True)
    staging = Path(tempfile.mkdtemp(prefix=_STAGING, dir=folder.parent))
    try:
        (staging / "dvc").mkdir()
        tracked = tracked_files(wanted, staging / "dvc", fetch=fetch, progress=progress)
        committed = _committed_files(wanted)
        if MANIFEST_NAME not in {*tracked, *committed}:
            raise _nothing_there(wanted, staging, bool(tracked or committed))
        for name in (*tracked, *committed):
            if not is_relative_path(name):
                raise RegistryFormatError(
                    f"{wanted} ({wanted.repository.name}) has a file {shown(name)}: expected a relative path that "
                    "stays inside."
                )
        twice = tracked.keys() & committed.keys()
        if twice:  # writing one would write through the link to DVC's cache
            raise RegistryFormatError(
                f"{wanted} has {sorted(twice)[0]} from DVC and from git ({wanted.repository.name}): expected it once."
            )
        for name, place in tracked.items():
            _link(place, _target(staging / "files", name))
        for name, content in committed.items():
            _target(staging / "files", name).write_bytes(content)
        if folder.exists():  # files were removed from it
            shutil.rmtree(folder)
        os.rename(staging / "files", folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _committed_files(wanted: Wanted) -> dict[str, bytes]:
    """Return the files below the path that git tracks itself: relative path -> content."""
    repository, prefix = wanted.repository, f"{wanted.repository.path(wanted.path)}/"
    listed = repository.git("ls-tree", "-r", "-z", "--full-tree", wanted.commit, "--", prefix)
    ids: dict[str, str] = {}
    for line in os.fsdecode(listed).split("\0")[:-1]:
        about, _, path = line.partition("\t")
        mode, _, blob = about.split(" ")
        if mode.startswith("100") and os.path.basename(path) not in NO_DATA and not path.endswith(".dvc"):
            ids[path.removeprefix(prefix)] = blob
    contents = repository.blobs(ids.values())
    return {name: contents[blob] for name, blob in ids.items()}


def _nothing_there(wanted: Wanted, staging: Path, something: bool) -> Exception:
    """Return the error for a path without a registry, with the paths that DVC tracks instead."""
    name = wanted.repository.name
    if something:
        return RegistryFormatError(f"{wanted} has no {MANIFEST_NAME}, so it is no registry ({name}).")
    (staging / "paths").mkdir()
    paths = tracked_paths(wanted, staging / "paths")
    shown = ", ".join(paths[:_SHOWN_PATHS]) + (", ..." if len(paths) > _SHOWN_PATHS else "")
    tracked = f"DVC tracks there: {shown}" if paths else "DVC tracks nothing there"
    return NotFoundError(
        f"There is no {wanted} in {name}; {tracked}. 'df2 versions' lists the revisions that have a registry."
    )


def _target(folder: Path, name: str) -> Path:
    """Return the path of a file below a folder, and create its parents."""
    target = folder / name
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _link(source: str, target: Path) -> None:
    """Make a hard link, or a copy.

    Not a symbolic link, which 'dvc gc' would break.
    """
    if not hard_link(source, target):
        shutil.copyfile(source, target)
