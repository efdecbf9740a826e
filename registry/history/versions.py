"""The versions of the data in a repository: the commits that changed the data below a path."""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import datetime
from typing import Any, Final

from registry.errors import NotFoundError, RegistryError, UsageError
from registry.history.checkout import NO_DATA, checkout_commit
from registry.history.git import Repository, find_repository
from registry.parsing.json_files import load_json
from registry.snapshot.manifest import MANIFEST_NAME

#: The committed counts of the stage 'stats'.
_METRICS: Final = "counts.json"
#: Files that describe the data, besides git's files below the path.
_DESCRIBING: Final = ("**/dvc.lock", "**/*.dvc", f"**/{_METRICS}")

#: Path -> id of git's object.
_Files = dict[str, str]
#: (path, hash) of all files and outputs of git and DVC above and below a path.
_Data = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts of a version, all splits together."""

    images: int
    items: int
    instance_pairs: int


@dataclass(frozen=True, slots=True)
class Version:
    """A commit that changed the data.

    Attributes:
        commit: full hash.
        date: of the commit.
        tags: tags of this data, on the commit or on a later commit with the same data; oldest first.
        subject: first line of the commit's message.
        counts: of this version, or None if unknown.
        before: counts of the version before it; None if unknown, or for the first version.
        reason: why the counts are unknown, or ``""``.
    """

    commit: str
    date: datetime
    tags: tuple[str, ...]
    subject: str
    counts: Counts | None
    before: Counts | None
    reason: str

    @property
    def deltas(self) -> Counts | None:
        """The differences from the version before, or None if either is unknown."""
        if self.counts is None or self.before is None:
            return None
        return Counts(*(now - then for now, then in zip(astuple(self.counts), astuple(self.before), strict=True)))

    def record(self) -> dict[str, Any]:
        """Return the version as a flat row."""
        row: dict[str, Any] = {"commit": self.commit, "date": self.date.isoformat(), "tags": list(self.tags)}
        row["subject"] = self.subject
        for prefix, counts in (("num", self.counts), ("delta", self.deltas)):
            row |= {f"{prefix}_{field.name}": getattr(counts, field.name, None) for field in fields(Counts)}
        return row | {"reason": self.reason or None}


@dataclass(frozen=True, slots=True)
class _Commit:
    """A commit of the history, with the files that describe its data."""

    hash: str
    parent: str | None
    date: datetime
    subject: str
    files: _Files
    data: _Data


@dataclass(frozen=True, slots=True)
class _Run:
    """Successive commits with the same data. The first commit changed it."""

    commits: list[_Commit]
    before: _Run | None


def versions(
    repo: str | None = None,
    path: str = "data/registry",
    *,
    fetch: bool = True,
    progress: Callable[[str], None] | None = None,
) -> list[Version]:
    """Return the versions of the registry, newest first.

    The history is that of first parents from HEAD and all tags. Counts are those committed with the data
    (``metrics/counts.json``) if dvc.lock proves that they were made from it; otherwise the registry of the version is
    opened and counted.

    Args:
        repo: folder of the repository, or its URL; None for that of the working directory.
        path: of the registry, relative to the folder that holds ``.dvc``.
        fetch: whether data may be fetched to be counted.
        progress: called with a line before data is fetched.

    Raises:
        NotFoundError: there is no repository, or no revision with data at this path.
        StorageError: the repository cannot be cloned or read.
    """
    repository, inside = find_repository(repo, path)
    repository.update()
    reader = _Reader(repository, inside)
    runs = _runs(reader.history())
    if not runs:
        raise NotFoundError(f"No revision of {repository.name} has data at {inside}.")
    counted: dict[_Data, tuple[Counts | None, str]] = {}
    for run in runs:
        counts = next(filter(None, map(reader.committed_counts, run.commits)), None)
        if counts is not None:
            counted[run.commits[0].data] = counts, ""
    for run in runs:  # after all committed counts, which may be of the same data
        first = run.commits[0]
        if first.data not in counted:
            counted[first.data] = _count(repository, first.hash, inside, fetch, progress)
    tags = _tags(repository)
    result = []
    for run in reversed(runs):
        first = run.commits[0]
        members = {commit.hash for commit in run.commits}
        counts, reason = counted[first.data]
        before = counted[run.before.commits[0].data][0] if run.before else None
        run_tags = tuple(tag for tag, commit in tags if commit in members)
        result.append(Version(first.hash, first.date, run_tags, first.subject, counts, before, reason))
    return result


def _runs(history: list[_Commit]) -> list[_Run]:
    """Return the runs of commits with the same data, oldest first."""
    runs: list[_Run] = []
    last: dict[str, _Run] = {}  # commit -> the latest run up to it
    for commit in history:
        run = last.get(commit.parent or "")
        # A commit without data, or with an unreadable dvc.lock, is no version; the next may have the same data again.
        if commit.data:
            if run is None or run.commits[0].data != commit.data:
                run = _Run([], run)
                runs.append(run)
            run.commits.append(commit)
        if run is not None:
            last[commit.hash] = run
    return runs


class _Reader:
    """Reads the commits of a history and their data below a path.

    Args:
        repository: the repository.
        inside: the path, relative to the folder that holds ``.dvc``.
    """

    def __init__(self, repository: Repository, inside: str) -> None:
        self._repository = repository
        self._path = repository.path(inside)
        self._parsed: dict[str, Any] = {}

    def history(self) -> list[_Commit]:
        """Return the commits of the first-parent history of HEAD and all tags, parents first."""
        changes = self._changes()
        blobs = {blob for files in changes.values() for path, blob in files.items() if _is_dvc_file(path) and blob}
        self._parsed = {blob: _parse(content) for blob, content in self._repository.blobs(blobs).items()}
        log = self._log("--no-patch", "--format=%H%x01%P%x01%cI%x01%s")
        commits: dict[str, _Commit] = {}
        for line in reversed(log.decode(errors="replace").split("\0")):
            if not line:
                continue
            name, parents, date, subject = line.split("\1", 3)
            parent = commits.get(parents.partition(" ")[0])
            files, data = (parent.files, parent.data) if parent else ({}, frozenset())
            if name in changes:
                files = {path: blob for path, blob in (files | changes[name]).items() if blob}
                data = frozenset(self._data(files))
            before = parent.hash if parent else None
            commits[name] = _Commit(name, before, datetime.fromisoformat(date), subject, files, data)
        return list(commits.values())

    def committed_counts(self, commit: _Commit) -> Counts | None:
        """Return the committed counts if DVC recorded that they were made from this data; else None."""
        manifest = f"{self._path}/{MANIFEST_NAME}"
        for lock in (path for path in commit.files if os.path.basename(path) == "dvc.lock"):
            for stage in _stages(self._parsed[commit.files[lock]]):
                # A dependency must be the manifest, or a folder around it, with the hash that it has in this commit.
                proofs = [
                    (path, md5)
                    for path, md5 in _entries(stage, "deps", lock)
                    if f"{manifest}/".startswith(f"{path}/")
                    and {data_md5 for data_path, data_md5 in commit.data if data_path == path} == {md5}
                ]
                for path, md5 in _entries(stage, "outs", lock) if proofs else ():
                    if os.path.basename(path) == _METRICS and path in commit.files:
                        content = self._repository.blobs([commit.files[path]])[commit.files[path]]
                        if hashlib.md5(content, usedforsecurity=False).hexdigest() == md5:
                            return _counts(content)
        return None

    def _log(self, *options: str, paths: Sequence[str] = ()) -> bytes:
        return self._repository.git(
            *("-c", "log.showRoot=true", "-c", "log.showSignature=false"),
            *("log", "--first-parent", "--date-order", "-z", *options, "HEAD", "--tags", "--", *paths),
        )

    def _changes(self) -> dict[str, _Files]:
        """Return the changed DVC files, metrics and data files of each commit; a removed file has the id ``""``."""
        patterns = [f":(top,glob){pattern}" for pattern in _DESCRIBING]
        options = ("-m", "--raw", "--no-renames", "--no-abbrev", "--format=%x01%H")
        output = os.fsdecode(self._log(*options, paths=[*patterns, f":(top,literal){self._path}"]))
        below = self._repository.path("")
        changes: dict[str, _Files] = {}
        tokens = iter(token.lstrip("\n") for token in output.split("\0"))
        for token in tokens:
            if token.startswith("\1"):
                changes[token[1:]] = changed = {}
            elif token.startswith(":"):
                _, mode, _, blob, status = token.split(" ")
                path = next(tokens)
                if path.startswith(below):
                    changed[path] = blob if status != "D" and mode.startswith("100") else ""
        return changes

    def _data(self, files: _Files) -> Iterator[tuple[str, str]]:
        """Yield (path, hash) of tracked files and outputs below the path, or above it."""
        for path, blob in files.items():
            if _is_dvc_file(path):
                for stage in _stages(self._parsed[blob]):
                    for out, md5 in _entries(stage, "outs", path):
                        if f"{out}/".startswith(f"{self._path}/") or f"{self._path}/".startswith(f"{out}/"):
                            yield out, md5
            elif path.startswith(f"{self._path}/") and os.path.basename(path) not in NO_DATA:
                yield path, blob


def _is_dvc_file(path: str) -> bool:
    return path.endswith((".dvc", "/dvc.lock")) or path == "dvc.lock"


def _parse(content: bytes) -> Any:
    """Return the document of a YAML file of DVC, every value as text; None if it cannot be read, as during a merge."""
    from registry.parsing.yaml_files import parse_yaml

    try:
        return parse_yaml(content, "dvc.lock", as_text=True)
    except UsageError:
        return None


def _stages(document: Any) -> list[dict[str, Any]]:
    """Return the stages in a dvc.lock; a ``.dvc`` file is a single stage."""
    if not isinstance(document, dict):
        return []
    stages = [document] if "outs" in document else document.get("stages", document)
    entries = stages if isinstance(stages, list) else stages.values() if isinstance(stages, dict) else ()
    return [stage for stage in entries if isinstance(stage, dict)]


def _entries(stage: dict[str, Any], kind: str, file: str) -> Iterator[tuple[str, str]]:
    """Yield (path, hash) of the outputs or dependencies (``kind``) of a stage in a file."""
    folder = posixpath.join(posixpath.dirname(file), _text(stage, "wdir", "."))
    entries = stage.get(kind)
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict):
            continue
        # Data that was imported without a download has no hash; its origin identifies it.
        md5 = _text(entry, _text(entry, "hash", "md5")) or _text(entry, "md5")
        path = posixpath.normpath(posixpath.join(folder, _text(entry, "path", ".")))
        yield path, md5 or json.dumps([entry, stage.get("deps")])


def _text(mapping: dict[str, Any], key: str, default: str = "") -> str:
    """Return the text of a key; the default if its value is no text."""
    value = mapping.get(key)
    return value if isinstance(value, str) else default


def _counts(content: bytes) -> Counts | None:
    """Return the counts in ``metrics/counts.json``, or None if it has other contents."""
    try:
        splits = list(load_json(content).values())
        sums = {field.name: sum(split[f"num_{field.name}"] for split in splits) for field in fields(Counts)}
        return Counts(**sums)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None


def _count(
    repository: Repository, commit: str, inside: str, fetch: bool, progress: Callable[[str], None] | None
) -> tuple[Counts | None, str]:
    """Return the counts of the registry at a commit and ``""``, or None and the reason."""
    from registry.store.registry import Registry

    sums = ", ".join(f"coalesce(sum(num_{field.name}), 0)::BIGINT" for field in fields(Counts))
    try:
        folder = checkout_commit(repository, commit, inside, fetch=fetch, progress=progress)
        (row,) = Registry(str(folder)).sql(f"SELECT {sums} FROM split_counts").fetchall()
    except RegistryError as error:
        return None, " ".join(str(error).split())
    return Counts(*row), ""


def _tags(repository: Repository) -> list[tuple[str, str]]:
    """Return (name, commit) of all tags, oldest first."""
    format = "--format=%(refname:short)%00%(objectname)%00%(*objectname)"
    output = repository.git("for-each-ref", "--sort=version:refname", "--sort=creatordate", format, "refs/tags").decode(
        errors="replace"
    )
    rows = [line.split("\0") for line in output.split("\n") if line]
    return [(name, peeled or commit) for name, commit, peeled in rows]
