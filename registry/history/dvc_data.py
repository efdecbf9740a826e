"""What DVC tracks below a path at a commit, brought into DVC's cache. With remotes.py the only user of dvc."""

from __future__ import annotations

import logging
import os
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.names import is_relative_path, shown
from registry.errors import MissingDependencyError, RegistryFormatError, StorageError, first_names
from registry.history.dvc_remotes import Remotes, cache_settings, committed_remotes, remotes_for
from registry.history.git import Repository
from registry.redaction import redact, remember
from registry.storage.timeouts import VARIABLE, dvc_limits, is_timeout, network_timeout, server_of

if TYPE_CHECKING:
    from dvc.fs import FileSystem  # type: ignore[import-untyped]
    from dvc.output import Output  # type: ignore[import-untyped]
    from dvc.repo import Repo  # type: ignore[import-untyped]
    from dvc.repo.index import Index  # type: ignore[import-untyped]
    from dvc_data.index.view import DataIndexView

#: The loggers of DVC are those of the whole process.
_one_at_a_time = threading.Lock()
_LOGGERS: Final = ("dvc", "dvc_data", "dvc_objects")
_SHOWN: Final = 3
#: MD5, or another digest of files and, with its suffix, of lists of files.
_HASH: Final = re.compile(r"[0-9a-f]{32,128}(\.dir)?")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for, and how messages call it.

    Attributes:
        repository: the repository.
        commit: full hash.
        rev: what the user called it.
        path: relative to the folder of DVC.
    """

    repository: Repository
    commit: str
    rev: str
    path: str

    def __str__(self) -> str:
        return f"{self.path} at {self.rev}"


@dataclass(slots=True)
class _View:
    """DVC's view of a commit.

    Attributes:
        repo: opened without remotes, so that nothing is asked of one by the way.
        outs: outputs below the path, or above it.
        remotes: where data is looked for: the remotes of now, and those of the revision that are gone since.
        committed: the remotes that the revision itself names.
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
        """The repositories that the data was imported from, if it was."""
        return sorted({out.stage.deps[0].def_repo["url"] for out in self.outs if out.stage.is_repo_import})

    @property
    def source(self) -> str:
        """What data is fetched from."""
        if self.imported:
            return f"{', '.join(map(_place, self.imported))}, from where it was imported"
        if self.remotes.default is None:
            return "a remote, because none is the default"
        return f"the remote {self.remotes.default!r} ({_place(self.remotes.url)})"


def tracked_files(
    wanted: Wanted, scratch: Path, *, fetch: bool = True, progress: Callable[[str], None] | None = None
) -> dict[str, str]:
    """Return the files that DVC tracks below a path: relative path -> where it is in the cache. Empty if there is none.

    What is in the cache already is taken from there, and the remote is not asked.

    Args:
        wanted: what is asked for.
        scratch: empty folder for what DVC notes while it works.
        fetch: whether what is not in the cache may be fetched.
        progress: gets one line before data is fetched.

    Raises:
        StorageError: files are neither in the cache nor on the remote, or it cannot be reached.
        RegistryFormatError: DVC cannot read its files in the revision, or they were committed before 'dvc repro' ended.
        MissingDependencyError: the remote needs a plugin of DVC.
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
            named = _fetch(view, wanted)
    if missing and fetch:
        with _opened(wanted, scratch / "after") as (again, _):  # DVC keeps what it knew of the cache before
            assert again is not None
            files, missing = _cached(again, wanted)
            if missing and named:  # instead of the folders that they are in
                folders = {name for name in missing if not any(one.startswith(name) for one in named)}
                missing = sorted({*named, *folders} - {f"{wanted.path}/"})
    if not missing:
        return files
    if not fetch:
        listed = first_names(missing, _SHOWN)
        raise StorageError(f"{wanted} is not in the cache {view.cache}, and nothing is fetched: {listed}.")
    unreachable = next(
        (error for error in _logged(log) if is_timeout(error) or not isinstance(_origin(error), FileNotFoundError)),
        None,
    )
    if unreachable is not None:
        raise _unreachable(view, wanted, unreachable)
    raise StorageError(_explain(view, wanted, missing))


def tracked_paths(wanted: Wanted, scratch: Path) -> list[str]:
    """Return the paths of all that DVC tracks at a commit, sorted, relative to the folder of DVC.

    Raises:
        RegistryFormatError: DVC cannot read its files in the revision.
    """
    with _opened(wanted, scratch / "paths") as (view, _):
        outs = view.repo.index.outs if view is not None else ()
        return sorted("/".join(out.index_key[1]) for out in outs if out.use_cache)


@contextmanager
def _opened(wanted: Wanted, scratch: Path) -> Iterator[tuple[_View | None, list[logging.LogRecord]]]:
    """Yield DVC's view of a commit, or None if there is no DVC in it, and what is logged inside the block."""
    with _one_at_a_time, _quiet() as log, _dvc_errors(wanted):
        from dvc.fs import GitFileSystem
        from dvc.scm import SCM  # type: ignore[import-untyped]

        with closing(SCM(str(wanted.repository.folder))) as scm:
            fs = GitFileSystem(scm=scm, rev=wanted.commit)
            if not fs.isdir(f"/{wanted.repository.path('.dvc')}"):
                yield None, log
                return
            view = _view(wanted, scm, fs, scratch)
            with closing(view.repo):
                yield view, log


class _Kept(logging.Handler):
    """A log that is kept in a list."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def _quiet() -> Iterator[list[logging.LogRecord]]:
    """Keep what DVC logs inside the block, and yield it."""
    if "dvc" not in sys.modules:
        streams = sys.stdout, sys.stderr
        import dvc.logger  # type: ignore[import-untyped]  # noqa: F401

        sys.stdout, sys.stderr = streams  # DVC exchanges them, for colours
    keep = _Kept(logging.WARNING)
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [keep], False
    logging.root.addHandler(keep)  # a library of a store may log too; without any handler that goes to stderr
    try:
        yield keep.records
    finally:
        logging.root.removeHandler(keep)
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate


@contextmanager
def _dvc_errors(wanted: Wanted) -> Iterator[None]:
    """Turn what DVC raises inside the block into errors of the registry."""
    from dvc.exceptions import DvcException  # type: ignore[import-untyped]
    from dvc.fs import RemoteMissingDepsError

    try:
        yield
    except RemoteMissingDepsError as error:
        raise MissingDependencyError(f"The remote of DVC needs a plugin: {_text(error)}") from error
    except DvcException as error:
        raise RegistryFormatError(
            f"DVC cannot read {wanted.repository.name} at {wanted.rev}: {_text(error)}"
        ) from error


def _text(error: BaseException) -> str:
    """Return what an error says, and what caused it, in one line."""
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    return ": ".join(dict.fromkeys(" ".join(str(one).split()) or type(one).__name__ for one in causes))


def _view(wanted: Wanted, scm: Any, fs: FileSystem, scratch: Path) -> _View:
    """Return DVC's view of a commit, given as a file system."""
    from dvc.repo import Repo

    class AtCommit(Repo):  # type: ignore[misc]
        # Else .dvc/config.local is merged into the committed configuration, where it may not fit the remote of then.
        local_dvc_dir = None

    repository = wanted.repository
    committed = committed_remotes(repository, fs)
    remotes = remotes_for(repository, scm, committed)
    for options in remotes.options.values():
        remember(options)
    repo = AtCommit(root_dir=f"/{repository.root}", fs=fs, scm=scm, config={"cache": cache_settings(repository)})
    # The index that DVC keeps for a repository is left to the dvc command: other processes write there.
    repo.site_cache_dir = str(scratch)
    repo.config["core"].pop("remote", None)
    repo.config["remote"] = {name: {"url": str(scratch / "none")} for name in remotes.options}
    outs = [out for out in repo.index.outs if out.use_cache and _on_the_way(out.index_key[1], wanted.path)]
    return _View(repo, outs, remotes, committed)


def _on_the_way(key: tuple[str, ...], path: str) -> bool:
    """Return whether a key of DVC is below a path, or above it."""
    parts = tuple(path.split("/"))
    return key[: len(parts)] == parts or parts[: len(key)] == key


def _data(index: Index, path: str) -> DataIndexView:
    """Return what DVC knows of the data below a path."""
    from dvc_data.index.view import view

    def on_error(entry: object, error: Exception) -> None:
        # fsspec says of a web server that stays silent that the file does not exist.
        if is_timeout(error) or not isinstance(_origin(error), FileNotFoundError):
            raise error  # a remote that cannot be reached is not asked again for every folder

    data = index.data["repo"]
    data.onerror = on_error
    return view(data, lambda key: _on_the_way(key, path))


def _check_hashes(hashes: Iterable[tuple[str, str | None]], wanted: Wanted) -> None:
    """Refuse hashes that are none: DVC makes paths of its cache, and names on the remote, of them.

    Raises:
        RegistryFormatError: one is not hex digits; the message names what it is of.
    """
    for name, value in hashes:
        if not _HASH.fullmatch(str(value)):
            raise RegistryFormatError(
                f"{shown(name)} in {wanted.rev} of {wanted.repository.name} has the hash {shown(value)}: expected hex "
                "digits. Its DVC files were not written by DVC."
            )


def _check_lists(data: DataIndexView, wanted: Wanted) -> None:
    """Refuse lists of files in which a name leads out of its folder, or a hash is none."""
    for key, entry in data.iteritems():
        if not is_relative_path("/".join(key)):
            raise RegistryFormatError(
                f"DVC's list of files of {wanted} ({wanted.repository.name}) names {shown('/'.join(key))}: expected "
                "relative paths that stay inside."
            )
        if entry.hash_info:
            _check_hashes([("/".join(key), entry.hash_info.value)], wanted)


def _cached(view: _View, wanted: Wanted) -> tuple[dict[str, str], list[str]]:
    """Return the files below a path with their places in the cache, and the names of those that are not there.

    A folder of which not even the list of files is there is missing as a whole, with a slash behind its name.
    """
    path = wanted.path
    depth = len(path.split("/"))
    # DVC would ask the remote for lists.
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


def _fetch(view: _View, wanted: Wanted) -> list[str]:
    """Fetch what is below the path, as far as it can be had; return the names of files that are known to be missing."""
    from dvc.repo import open_repo
    from dvc_data.index.collect import collect
    from dvc_data.index.fetch import fetch

    if any(_is_gone(url) for url in view.imported):
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
            data = _data(view.repo.index.update([]), wanted.path)  # the same, but for the remotes
            with _web_clients_closed(data):
                _check_lists(data, wanted)  # which fetches the lists; before any file is
                fetch(collect([data], "remote"))
    except RegistryFormatError:
        raise
    except Exception as error:  # what the libraries of the stores raise has no common base
        raise _unreachable(view, wanted, error) from error
    finally:
        if not clones:  # what was imported is fetched out of clones of its repository, which DVC leaves behind
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

    fsspec closes those of a file system that is collected, but not if that happens in its own thread.
    """
    from dvc_http import HTTPFileSystem  # type: ignore[import-untyped]

    try:
        yield
    finally:
        for storage in data.storage_map.values():
            remote = storage.remote and storage.remote.fs
            if isinstance(remote, HTTPFileSystem) and (session := remote.fs._session) is not None:
                remote.fs.close_session(remote.fs.loop, session)


def _is_gone(url: str) -> bool:
    return os.path.isabs(url) and not os.path.isdir(url)


def _place(url: str) -> str:
    """Return a URL or path as messages show it."""
    return f"{redact(url)}, which is not there" if _is_gone(url) else redact(url)


def _logged(log: list[logging.LogRecord]) -> list[BaseException]:
    """Return the errors that were logged."""
    return [record.exc_info[1] for record in log if record.exc_info and record.exc_info[1]]


def _unreachable(view: _View, wanted: Wanted, error: BaseException) -> StorageError:
    origin = _origin(error)
    said = " ".join(str(origin).split()) or type(origin).__name__
    if is_timeout(error):
        server, limit = server_of(error) or "the server", f"{VARIABLE} (now {network_timeout():g} s)"
        said = f"no answer from {server} in time; {limit} allows more"
    return StorageError(f"{wanted} is not in the cache {view.cache}, and cannot be fetched from {view.source}: {said}")


def _explain(view: _View, wanted: Wanted, missing: list[str]) -> str:
    """Return what is missing, where it was looked for, why it may not be there, and what to do."""
    remotes = view.remotes
    listed = first_names(missing, _SHOWN)
    text = f"{wanted} is not whole. Neither in the cache {view.cache} nor in {view.source}: {listed}."
    push = f"Where the data still is, check out {wanted.rev} and run 'dvc push'."
    if view.imported:
        return text
    if remotes.default is None:
        return f"{text}\nIt has no default remote: 'dvc remote add -d NAME URL' makes one, to be committed. {push}"
    if view.committed.default is None:
        return (
            f"{text}\nThe .dvc/config committed at {wanted.rev} names no remote; 'dvc push -T' and '-A' leave such a "
            "revision out and say 'Everything is up to date'. Where the data still is, run 'dvc remote add --local -d "
            f"{remotes.default} {remotes.url}' and then 'DVC_SITE_CACHE_DIR=$(mktemp -d) dvc push -T' (DVC remembers "
            "what it left out); and commit the remote before the next tag."
        )
    if view.committed.default in view.committed.relative:
        push += " ('dvc push -T' and '-A' take a relative url for one below '/', and push it there.)"
    return f"{text}\n{push}"


def _origin(error: BaseException) -> BaseException:
    """Return the error that an error came from."""
    while error.__cause__ is not None:
        error = error.__cause__
    return error
