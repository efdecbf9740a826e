"""Reads the data that DVC tracks below a path at a commit, and fetches it into DVC's cache."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.names import is_relative_path, shown
from registry.errors import MissingDependencyError, RegistryFormatError, StorageError, first_names
from registry.history.dvc_messages import (
    MAX_NAMES,
    error_text,
    explain_missing,
    is_unreachable,
    logged_errors,
    unreachable,
)
from registry.history.dvc_remotes import cache_settings, committed_remotes, remotes_for
from registry.history.dvc_view import View, Wanted
from registry.history.git import is_missing_folder
from registry.redaction import remember
from registry.storage.timeouts import dvc_limits

if TYPE_CHECKING:
    from registry.history.dvc_internals import DataIndexView, FileSystem, Index

#: Guards DVC's loggers, which the whole process shares.
_lock = threading.Lock()
_LOGGERS: Final = ("dvc", "dvc_data", "dvc_objects")
#: MD5 or another digest of a file; with the suffix, of a list of files.
_HASH: Final = re.compile(r"[0-9a-f]{32,128}(\.dir)?")


def tracked_files(
    wanted: Wanted, scratch: Path, *, fetch: bool = True, progress: Callable[[str], None] | None = None
) -> dict[str, str]:
    """Return the files that DVC tracks below a path: relative path -> path in the cache; empty if it tracks none.

    The remote is contacted only for files that the cache lacks.

    Args:
        wanted: the path and the commit.
        scratch: empty folder for DVC's index.
        fetch: whether missing files may be fetched.
        progress: called with a line before data is fetched.

    Raises:
        StorageError: files are neither in the cache nor on the remote, or the remote cannot be reached.
        RegistryFormatError: DVC cannot read its files in the commit, or they were committed before 'dvc repro' ended.
        MissingDependencyError: DVC, or the plugin for the remote, is not installed.
    """
    with _opened(wanted, scratch / "before") as (view, log):
        if view is None:
            return {}
        _check_hashes(((str(out), out.hash_info.value) for out in view.outs if out.hash_info), wanted)
        unfinished = sorted(str(out) for out in view.outs if not out.hash_info and not out.stage.is_import)
        if unfinished:
            raise RegistryFormatError(
                f"{wanted.rev} of {wanted.repository.name} has no data for {unfinished[0]}: it was committed before "
                "'dvc repro' or 'dvc commit' had recorded it in dvc.lock. Take another revision."
            )
        files, missing = _cached(view, wanted)
        if missing and fetch:
            if progress is not None:
                progress(f"Fetching {wanted} ...")
            not_fetched = _fetch(view, wanted)
    if missing and fetch:
        with _opened(wanted, scratch / "after") as (fresh_view, _):  # DVC remembers the state of the cache in a view
            assert fresh_view is not None
            files, missing = _cached(fresh_view, wanted)
            if missing and not_fetched:  # name the files instead of their folders
                folders = {name for name in missing if not any(file.startswith(name) for file in not_fetched)}
                missing = sorted({*not_fetched, *folders} - {f"{wanted.path}/"})
    if not missing:
        return files
    if not fetch:
        names = first_names(missing, MAX_NAMES)
        raise StorageError(f"{wanted} is not in the cache {view.cache}, and nothing is fetched: {names}.")
    error = next(filter(is_unreachable, logged_errors(log)), None)
    if error is not None:
        raise unreachable(view, wanted, error)
    raise StorageError(explain_missing(view, wanted, missing))


def tracked_paths(wanted: Wanted, scratch: Path) -> list[str]:
    """Return the paths of all outputs that DVC tracks at a commit, sorted, relative to the folder that holds ``.dvc``.

    Raises:
        RegistryFormatError: DVC cannot read its files in the commit.
    """
    with _opened(wanted, scratch / "paths") as (view, _):
        outs = view.repo.index.outs if view is not None else ()
        return sorted("/".join(out.index_key[1]) for out in outs if out.use_cache)


@contextmanager
def _opened(wanted: Wanted, scratch: Path) -> Iterator[tuple[View | None, list[logging.LogRecord]]]:
    """Yield DVC's view of a commit, or None if the commit has no ``.dvc``, and the log records of the block.

    Raises:
        MissingDependencyError: DVC is not installed.
    """
    with _lock, _captured_log() as log, _dvc_errors(wanted):
        from registry.history.dvc_internals import SCM, GitFileSystem

        with closing(SCM(str(wanted.repository.folder))) as scm:
            fs = GitFileSystem(scm=scm, rev=wanted.commit)
            if not fs.isdir(f"/{wanted.repository.path('.dvc')}"):
                yield None, log
                return
            view = _view(wanted, scm, fs, scratch)
            with closing(view.repo):
                yield view, log


def _import_dvc() -> None:
    """Import DVC once, without its change of the standard streams, which it replaces for colours."""
    if "registry.history.dvc_internals" in sys.modules:
        return
    streams = sys.stdout, sys.stderr
    try:
        from registry.history import dvc_internals  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            "--rev needs DVC: pip install 'dvc>=3.60,<4' configobj, or install deepfashion2-registry with all its "
            "dependencies."
        ) from error
    finally:
        sys.stdout, sys.stderr = streams


class _LogHandler(logging.Handler):
    """Collects log records in a list."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def _captured_log() -> Iterator[list[logging.LogRecord]]:
    """Yield a list of the warnings and errors that are logged inside the block, instead of printing them."""
    _import_dvc()
    handler = _LogHandler(logging.WARNING)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [handler], False
    logging.root.addHandler(handler)  # the stores' libraries log, too; without a handler, to standard error
    try:
        yield handler.records
    finally:
        logging.root.removeHandler(handler)
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate


@contextmanager
def _dvc_errors(wanted: Wanted) -> Iterator[None]:
    """Turn DVC's errors inside the block into errors of this package."""
    from registry.history.dvc_internals import DvcException, RemoteMissingDepsError

    try:
        yield
    except RemoteMissingDepsError as error:
        raise MissingDependencyError(f"The remote of DVC needs a plugin: {error_text(error)}") from error
    except DvcException as error:
        raise RegistryFormatError(
            f"DVC cannot read {wanted.repository.name} at {wanted.rev}: {error_text(error)}"
        ) from error


def _view(wanted: Wanted, scm: Any, fs: FileSystem, scratch: Path) -> View:
    """Return DVC's view of a commit, given as a file system."""
    from registry.history.dvc_internals import Repo

    class AtCommit(Repo):  # type: ignore[misc]
        # Otherwise .dvc/config.local is merged into the committed configuration, whose remote may differ.
        local_dvc_dir = None

    repository = wanted.repository
    committed = committed_remotes(repository, fs)
    remotes = remotes_for(repository, scm, committed)
    for options in remotes.options.values():
        remember(options)
    repo = AtCommit(root_dir=f"/{repository.root}", fs=fs, scm=scm, config={"cache": cache_settings(repository)})
    # A separate index: the repository's own is for the dvc command, which may be running.
    repo.site_cache_dir = str(scratch)
    repo.config["core"].pop("remote", None)
    repo.config["remote"] = {name: {"url": str(scratch / "none")} for name in remotes.options}
    outs = [out for out in repo.index.outs if out.use_cache and _overlaps(out.index_key[1], wanted.path)]
    return View(repo, outs, remotes, committed)


def _overlaps(key: tuple[str, ...], path: str) -> bool:
    """Return whether a key of DVC's index is below a path, or above it."""
    parts = tuple(path.split("/"))
    return key[: len(parts)] == parts or parts[: len(key)] == key


def _data(index: Index, path: str) -> DataIndexView:
    """Return DVC's index of the data below a path."""
    from registry.history.dvc_internals import view

    def on_error(entry: object, error: Exception) -> None:
        if is_unreachable(error):
            raise error  # otherwise DVC asks the remote again for every folder

    data = index.data["repo"]
    data.onerror = on_error
    return view(data, lambda key: _overlaps(key, path))


def _check_hashes(hashes: Iterable[tuple[str, str | None]], wanted: Wanted) -> None:
    """Check hashes in DVC files, from which DVC makes paths in its cache and on the remote.

    Raises:
        RegistryFormatError: a hash is not hex digits; the message names its output.
    """
    for name, value in hashes:
        if not _HASH.fullmatch(str(value)):
            raise RegistryFormatError(
                f"{shown(name)} in {wanted.rev} of {wanted.repository.name} has the hash {shown(value)}: expected hex "
                "digits. Its DVC files were not written by DVC."
            )


def _check_lists(data: DataIndexView, wanted: Wanted) -> None:
    """Check DVC's lists of files: no name leads out of its folder, and every hash is hex digits."""
    for key, entry in data.iteritems():
        if not is_relative_path("/".join(key)):
            raise RegistryFormatError(
                f"DVC's list of files of {wanted} ({wanted.repository.name}) names {shown('/'.join(key))}: expected "
                "relative paths that stay inside."
            )
        if entry.hash_info:
            _check_hashes([("/".join(key), entry.hash_info.value)], wanted)


def _cached(view: View, wanted: Wanted) -> tuple[dict[str, str], list[str]]:
    """Return the files below a path with their paths in the cache, and the names of missing files.

    A folder whose list of files is missing counts as missing as a whole; its name ends in a slash.
    """
    path = wanted.path
    depth = len(path.split("/"))
    # Checked first, because DVC would fetch missing lists.
    unlisted = [
        "/".join(out.index_key[1][depth:] or [path]) + ("/" if out.hash_info.isdir else "")
        for out in view.outs
        if not out.hash_info or not os.path.exists(out.cache.oid_to_path(out.hash_info.value))
    ]
    if unlisted:
        return {}, sorted(unlisted)
    data = _data(view.repo.index, path)
    _check_lists(data, wanted)
    files = {
        "/".join(key[depth:]): data.storage_map.get_cache(entry)[1]
        for key, entry in data.iteritems()
        if len(key) > depth and not (entry.meta and entry.meta.isdir)
    }
    return files, sorted(name for name, place in files.items() if not os.path.exists(place))


def _fetch(view: View, wanted: Wanted) -> list[str]:
    """Fetch the files below the path; return the names of files that could not be fetched."""
    from registry.history.dvc_internals import collect, fetch, open_repo

    if any(is_missing_folder(url) for url in view.imported):
        return []  # DVC would try to clone it for every folder, and leave temporary folders behind
    remotes = view.remotes
    if remotes.default in remotes.relative and wanted.repository.dvc_folder is None:
        raise StorageError(
            f"The remote {remotes.default!r} of {wanted.repository.name} is {remotes.relative[remotes.default]}, "
            "relative to the checkout in which it was added, so nobody else can read it. It needs a URL: there, run "
            f"'dvc remote modify {remotes.default} url s3://...', commit, and 'dvc push'."
        )
    clones = set(open_repo.CLONES)
    try:
        with dvc_limits(remotes.options):
            view.repo.config["remote"] = remotes.options
            if remotes.default is not None:
                view.repo.config["core"]["remote"] = remotes.default
            data = _data(view.repo.index.update([]), wanted.path)  # the same index, with the remotes
            with _web_clients_closed(data):
                _check_lists(data, wanted)  # fetches the lists, and checks them before any file is fetched
                fetch(collect([data], "remote"))
    except RegistryFormatError:
        raise
    except Exception as error:  # the errors of the stores' libraries have no common base
        raise unreachable(view, wanted, error) from error
    finally:
        if not clones:  # DVC leaves behind its clones of repositories that data was imported from
            open_repo.clean_repos()
    depth = len(wanted.path.split("/"))
    return sorted(
        "/".join(key[depth:])
        for key, entry in data.iteritems()
        if entry.hash_info and not entry.hash_info.isdir and not os.path.exists(data.storage_map.get_cache(entry)[1])
    )


@contextmanager
def _web_clients_closed(data: DataIndexView) -> Iterator[None]:
    """Close the connections to web servers at the end of the block.

    fsspec closes the connections of a garbage-collected file system, but not if its own thread collects it.
    """
    from registry.history.dvc_internals import HTTPFileSystem

    try:
        yield
    finally:
        for storage in data.storage_map.values():
            remote = storage.remote and storage.remote.fs
            if isinstance(remote, HTTPFileSystem) and (session := remote.fs._session) is not None:
                remote.fs.close_session(remote.fs.loop, session)
