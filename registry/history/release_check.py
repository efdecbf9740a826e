"""Checks that others can pull a release of the data: by a fresh clone of its tag, an empty cache, and DVC."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, Literal

from registry.errors import RegistryError, RegistryFormatError, StorageError, UnknownNameError, UsageError, first_names
from registry.history.dvc_data import tracked_files, tracked_paths
from registry.history.dvc_view import Wanted
from registry.history.git import Repository, find_repository, git
from registry.parsing.json_files import load_json
from registry.redaction import redact, without_user
from registry.snapshot.manifest import MANIFEST_NAME
from registry.snapshot.verify import verify_registry
from registry.storage.place import Place
from registry.store.registry import Registry

_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of a step of the check.

    Attributes:
        kind: ``ok``, ``fail``, or ``note`` for a possible problem for others.
        text: the result, and for a failure the remedy.
    """

    kind: Literal["ok", "note", "fail"]
    text: str


def check_release(
    tag: str, repo: str | None = None, path: str = "data/registry", *, allow_relative: bool = False
) -> Iterator[Finding]:
    """Yield the results of cloning a tag, pulling its registry and verifying it; a failure may end the check early.

    The clone is made from git's remote 'origin', or from the checkout if there is none. DVC's cache is empty, and its
    remote is that committed at the tag; only credentials come from the checkout.

    Args:
        tag: the tag of the release.
        repo: folder of the checkout; None for that of the working directory.
        path: of the registry, relative to the folder that holds ``.dvc``.
        allow_relative: whether a remote relative to the checkout is allowed; its data is checked in any case.

    Raises:
        NotFoundError: there is no repository, or no DVC in it.
        UnknownNameError: there is no such tag.
        StorageError: origin cannot be cloned.
    """
    repository, inside = find_repository(repo, path)
    if repository.url is not None:
        raise UsageError(f"A release is checked from a checkout, and {repository.name} is none.")
    commit = repository.commit(tag)
    if not repository.git("for-each-ref", f"refs/tags/{tag}"):
        raise UnknownNameError(f"{tag!r} is no tag: 'git tag {tag}' makes one.")
    with tempfile.TemporaryDirectory(prefix="df2-release-") as scratch:
        clone = Path(scratch, "clone")
        yield from _clone(repository, tag, commit, clone)
        if not clone.is_dir():
            return
        root = clone / repository.root
        remote = _committed_remote(root)
        if remote is None:
            yield Finding(
                "fail",
                f"The .dvc/config committed at {tag} names no default remote, so nobody can pull. 'dvc remote add -d "
                "NAME URL', commit, 'dvc push', and tag that commit.",
            )
            return
        name, url = remote
        assert repository.dvc_folder is not None  # it is a checkout
        here = _local(url, repository.dvc_folder)
        if here is not None and not os.path.isabs(os.path.expanduser(url)):
            yield Finding(
                "note" if allow_relative else "fail",
                f"The remote {name!r} committed at {tag} is {url}, relative to the checkout: whoever clones elsewhere "
                f"has another folder there, or none. Checked is {here}. To share it: 'dvc remote modify {name} url "
                "s3://...', commit, 'dvc push', and tag that commit.",
            )
        elif here is not None:
            yield Finding("note", f"The remote {name!r} is the folder {here}: only who has it can pull.")
        _configure(root, repository.dvc_folder, name, here or url, Path(scratch))
        yield from _pull(root, Wanted(repository, commit, tag, inside), Path(scratch), f"{name!r} ({here or url})")
        if (root / inside / MANIFEST_NAME).is_file():
            yield from _verify(root / inside)
            yield from _compare(root / inside, root / "metrics" / "counts.json")


def _clone(repository: Repository, tag: str, commit: str, target: Path) -> Iterator[Finding]:
    """Clone the tag from its origin."""
    try:
        origin = repository.git("remote", "get-url", "origin").decode().strip()
    except StorageError:
        origin = ""
        yield Finding(
            "note", f"Git has no remote 'origin', so nobody else has {tag} yet. Cloned is {repository.folder}."
        )
    source = origin or str(repository.folder)
    arguments = ("-c", "advice.detachedHead=false", "clone", "--progress", "--branch", tag)
    try:
        git(repository.folder, *arguments, "--", without_user(source), str(target), remote=source)
    except StorageError as error:
        if not origin or f"Remote branch {tag} not found" not in str(error):
            raise
        yield Finding("fail", f"{tag} is not on origin: 'git push origin {tag}'.")
        return
    origin_commit = git(target, "rev-parse", "HEAD").decode().strip()
    if origin_commit != commit:
        shutil.rmtree(target)
        yield Finding(
            "fail",
            f"{tag} is {origin_commit[:10]} on origin and {commit[:10]} here. Who pulled it keeps the old one: "
            "take a new tag.",
        )
        return
    yield Finding("ok", f"{tag} is {commit[:10]}, cloned from {'origin' if origin else 'this checkout'}.")


def _committed_remote(root: Path) -> tuple[str, str] | None:
    """Return name and url of the default remote in the committed configuration."""
    config = _config(root / ".dvc" / "config")
    name = _section(config, "core").get("remote")
    url = _section(config, f'remote "{name}"').get("url")
    return (name, url) if isinstance(name, str) and isinstance(url, str) and name and url else None


def _section(config: Any, name: str) -> Mapping[str, Any]:
    section = config.get(name)
    return section if isinstance(section, Mapping) else {}


def _config(path: Path) -> Any:
    from configobj import ConfigObj, ConfigObjError  # type: ignore[import-untyped]  # the format of DVC's configuration

    try:
        return ConfigObj(str(path), list_values=False, interpolation=False)
    except (ConfigObjError, UnicodeDecodeError) as error:
        raise RegistryFormatError(f"{path} is not a configuration of DVC: {error}") from error


def _local(url: str, dvc_folder: Path) -> str | None:
    """Return the folder that the url of a remote names in the checkout; None if it names a server."""
    if re.match(r"\w+://", url):
        return None
    return os.path.normpath(dvc_folder / os.path.expanduser(url))


def _configure(root: Path, dvc_folder: Path, name: str, url: str, scratch: Path) -> None:
    """Configure the clone: an empty cache, the remote's path from here, and the credentials of the checkout."""
    section = f'remote "{name}"'
    now = _committed_remote(dvc_folder.parent)
    # The credentials belong to the current remote's protocol.
    local = (
        _config(dvc_folder / "config.local") if now and now[1].partition("://")[0] == url.partition("://")[0] else {}
    )
    config = _config(root / ".dvc" / "config.local")
    config["core"] = {"remote": name}
    config["cache"] = {"dir": str(scratch / "cache")}
    config[section] = {**_section(local, section), "url": url}
    config.write()


def _pull(root: Path, wanted: Wanted, scratch: Path, remote: str) -> Iterator[Finding]:
    """Run 'dvc pull' for the outputs below the path."""
    (scratch / "index").mkdir()
    parents = f"{wanted.path}/"
    targets = [
        path
        for path in tracked_paths(wanted, scratch / "index")
        if f"{path}/".startswith(parents) or parents.startswith(f"{path}/")
    ]
    if not targets:
        yield Finding("fail", f"DVC tracks nothing at {wanted}: commit dvc.lock or the .dvc file, and tag that commit.")
        return
    command = [sys.executable, "-m", "dvc", "pull", *targets]
    environment = os.environ | {"DVC_SITE_CACHE_DIR": str(scratch / "site")}  # without DVC's index of earlier runs
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        yield Finding("ok", f"{wanted} was pulled from {redact(remote)}.")
        return
    (scratch / "missing").mkdir()
    try:  # DVC's message has folders and hashes only; this names the missing files
        tracked_files(replace(wanted, repository=find_repository(str(root), wanted.path)[0]), scratch / "missing")
    except RegistryError as error:
        yield Finding("fail", str(error))
        return
    yield Finding("fail", f"'dvc pull {' '.join(targets)}' fails: {redact(' '.join(done.stderr.split()))}")


def _verify(folder: Path) -> Iterator[Finding]:
    """Read every file, as 'df2 verify' does."""
    check = verify_registry(Place(str(folder)))
    for state, paths in (("missing", check.missing), ("changed", check.changed), ("miscounted", check.miscounted)):
        if paths:
            shown = first_names(paths, _SHOWN)
            yield Finding("fail", f"{len(paths)} of {check.num_files} files of the manifest are {state}: {shown}.")
    if check.is_whole:
        yield Finding("ok", f"All {check.num_files} files are as they were written.")


def _compare(folder: Path, metrics: Path) -> Iterator[Finding]:
    """Compare the counts of the registry with the committed counts."""
    try:
        committed = load_json(metrics.read_bytes())
    except FileNotFoundError:
        yield Finding("note", "No metrics/counts.json is committed, so the counts were not compared.")
        return
    except (ValueError, RecursionError) as error:
        yield Finding("fail", f"metrics/counts.json is not JSON: {error}. 'dvc repro stats' writes it.")
        return
    try:
        counted = Registry(str(folder)).stats()
    except RegistryError as error:
        yield Finding("fail", f"The registry cannot be counted: {error}")
        return
    different = list(_differences(committed, counted))
    if different:
        shown = "; ".join(different[:_SHOWN]) + ("; ..." if len(different) > _SHOWN else "")
        yield Finding(
            "fail", f"metrics/counts.json is of other data: {shown}. 'dvc repro', commit, and tag that commit."
        )
        return
    yield Finding("ok", "The counts are those in metrics/counts.json.")


def _differences(committed: Any, counted: Any, where: str = "") -> Iterator[str]:
    """Yield the differences of counts. Counts that only a newer program makes do not matter."""
    if isinstance(committed, Mapping) and isinstance(counted, Mapping):
        for name, value in committed.items():
            yield from _differences(value, counted.get(name), f"{where}.{name}" if where else name)
        if not where:
            yield from (f"{name} is not in it" for name in counted if name not in committed)
    elif committed != counted:
        yield f"{where} is {committed} in it, and {'missing' if counted is None else counted} in the data"
