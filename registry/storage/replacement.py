"""Replace a local folder (an export, the sample) as a whole: readers see the old or the new content.

The new content is written to a staging folder (:mod:`registry.files.staging`) beside the target folder, and both are
exchanged by renaming. Where the target cannot be renamed (a mount point, an unwritable parent), the staging folder is
created inside it and the entries are moved singly. The list of moves is on the disk before the first move, so the next
writer can finish or undo the moves of a killed process.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Final

from registry.errors import StorageError, UsageError
from registry.files.durability import exchange, make_folders, open_folder, replace_file, sync_folder, sync_tree
from registry.files.regular_files import read_regular
from registry.files.staging import MARK, claim, clear, discard, discard_unlocked, is_marked, lock_folder
from registry.files.temporary import temporary
from registry.storage.filesystems import reason

_SUFFIX: Final = ".df2-export"
_UNFINISHED, _NEW, _OLD, _MOVES = "unfinished", "new", "old", "moves.json"
#: Bytes of a folder name above which the staging folder beside it is named by a digest.
_LONGEST: Final = 200
#: Attempts to create a staging folder that another process removes.
_ATTEMPTS: Final = 100
#: Entries of an empty file system.
_SYSTEM_ENTRIES: Final = {"lost+found"}
#: Errors of renaming a folder whose entries can still be renamed.
_FIXED: Final = (errno.EBUSY, errno.EXDEV, errno.EPERM, errno.EACCES)
_READ_ONLY: Final = (errno.EACCES, errno.EPERM, errno.EROFS)


class Replacement:
    """The new content of a folder until it replaces the old content.

    Attributes:
        unfinished: folder to write the new content to. It is removed if the process is ended by a signal.
    """

    def __init__(self, folder: Path, staging: Path, last: str) -> None:
        self.unfinished = staging / _UNFINISHED
        self._new = staging / _NEW
        self._folder = folder
        self._staging = staging
        self._last = last
        #: Has the staging folder removed on a signal, until the content is complete or this is closed.
        self._removable = ExitStack()
        self._removable.enter_context(temporary(staging))
        self.unfinished.mkdir()
        #: syncfs() on it reports the write errors from here on.
        self._descriptor = open_folder(self.unfinished)

    def close(self) -> None:
        """Close this, after its staging folder was removed: a signal no longer removes the folder."""
        self._close_descriptor()
        self._removable.close()

    def _close_descriptor(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def commit(self, files: Sequence[str]) -> None:
        """Sync the new content to the disk, then replace the old content by it.

        Args:
            files: paths of the new content, relative to :attr:`unfinished`.

        Raises:
            OSError: the replacement failed; the old content is in place.
        """
        sync_tree(self.unfinished, files, self._descriptor)
        self._close_descriptor()
        self._removable.close()
        os.rename(self.unfinished, self._new)
        if self._staging.parent == self._folder:
            self._move_in()
            return
        try:
            if not self._folder.is_dir() or not entries(self._folder):
                self._take_free_name()
            elif exchange(self._new, self._folder):
                self._sync_or(lambda: exchange(self._new, self._folder))
            else:
                self._rename_both()
        except OSError as error:
            if error.errno not in _FIXED or not self._folder.is_dir():
                raise
            self._move_in()

    def _take_free_name(self) -> None:
        """Rename the new folder to the target, which is missing or empty."""
        was_folder = self._folder.is_dir()

        def undo() -> None:
            os.rename(self._folder, self._new)
            if was_folder:
                self._folder.mkdir()

        os.replace(self._new, self._folder)
        self._sync_or(undo)

    def _rename_both(self) -> None:
        """Move the old folder away, then the new folder to its place."""
        old = self._staging / _OLD

        def undo() -> None:
            if not os.path.lexists(self._new):
                os.rename(self._folder, self._new)
            os.rename(old, self._folder)

        os.rename(self._folder, old)
        try:
            os.rename(self._new, self._folder)
        except BaseException:
            undo()
            raise
        self._sync_or(undo)

    def _sync_or(self, undo: Callable[[], object]) -> None:
        """Sync the folders whose names changed; undo the change if that fails."""
        try:
            sync_folder(self._folder.parent)
            sync_folder(self._staging)
        except OSError:
            undo()
            raise

    def _move_in(self) -> None:
        """Move the old entries out of the target folder and the new ones in."""
        moves = {
            _OLD: self._in_order(entries(self._folder), reverse=True),
            _NEW: self._in_order(entries(self._new)),
        }
        partial = self._staging / f"{_MOVES}.partial"
        partial.write_text(json.dumps(moves))
        replace_file(partial, self._staging / _MOVES)
        try:
            _finish_moves(self._folder, self._staging)
        except BaseException:
            _undo_moves(self._folder, self._staging)
            raise

    def _in_order(self, names: Iterable[str], *, reverse: bool = False) -> list[str]:
        """Return names sorted, with the name that completes the content at the end."""
        return sorted(names, key=lambda name: (name == self._last, name), reverse=reverse)


def real_folder(path: Path, name: str) -> Path:
    """Return the real path of a folder to replace; it need not exist.

    Args:
        path: the folder, or a link to it.
        name: its path or URL in messages.

    Raises:
        UsageError: the path is a file, or a link to nothing.
        StorageError: the path cannot be read.
    """
    try:
        if not stat.S_ISDIR(path.stat().st_mode):
            raise UsageError(f"{name} is a file; expected a folder to write to.")
    except (FileNotFoundError, NotADirectoryError) as error:
        if os.path.lexists(path):
            raise UsageError(f"{name} is a link to nothing; expected a folder to write to.") from error
    except OSError as error:
        raise StorageError(f"Cannot write {name}: {reason(error)}.") from error
    return Path(os.path.realpath(path))


def entries(folder: Path) -> list[str]:
    """Return the sorted names in a folder, without ``lost+found`` and our staging folder."""
    names = sorted(set(os.listdir(folder)) - _SYSTEM_ENTRIES)
    return [name for name in names if name != _SUFFIX or not _is_ours(folder / name)]


def _is_ours(staging: Path) -> bool:
    """Return whether a folder is marked, or empty because its process was killed before marking it."""
    if is_marked(staging):
        return True
    with suppress(OSError):
        return stat.S_ISDIR(staging.lstat().st_mode) and not os.listdir(staging)
    return False


@contextmanager
def replacement(folder: Path, last: str) -> Iterator[Replacement]:
    """Lock a folder and yield its replacement; without :meth:`Replacement.commit`, nothing changes.

    Work that a killed process left is first finished, undone or removed.

    Args:
        folder: a real path (not a link); it need not exist.
        last: name of the entry that completes the content. It is moved out first and moved in last.

    Raises:
        StorageError: another process is replacing the folder, or the staging folder's name is taken.
        OSError: the folder cannot be written.
    """
    parents = make_folders(folder.parent)
    unfinished = ExitStack()  # closed last: a signal during the cleanup has the staging folder removed too
    try:
        staging, lock = _claim(folder)
        try:
            for other in _staging_folders(folder):
                if other != staging and _is_ours(other):
                    _recover_killed(folder, other)
            _recover(folder, staging)
            clear(staging)
            replaced = unfinished.enter_context(closing(Replacement(folder, staging, last)))
            try:
                yield replaced
            finally:
                _recover(folder, staging)
        finally:
            _release(staging, lock)
            unfinished.close()
    finally:
        for parent in parents:
            with suppress(OSError):  # not empty: the new content is in it
                parent.rmdir()


def recover(folder: Path) -> None:
    """Finish or undo a replacement of a folder that a killed process left half done.

    Args:
        folder: a real path (not a link); it need not exist.

    Raises:
        StorageError: another process is replacing the folder, or the staging folder was not made by df2.
        OSError: an entry cannot be moved.
    """
    for staging in _staging_folders(folder):
        if _is_ours(staging):
            _recover_killed(folder, staging)


def _staging_folders(folder: Path) -> list[Path]:
    """Return the paths of possible staging folders, preferred first."""
    name = f".{folder.name}{_SUFFIX}"
    if len(os.fsencode(folder.name)) > _LONGEST:
        name = f".{hashlib.sha256(os.fsencode(folder.name)).hexdigest()[:16]}{_SUFFIX}"
    inside = folder / _SUFFIX
    if not folder.is_dir():
        return [folder.with_name(name)]
    if folder == folder.parent:
        return [inside]
    # The working directory is not renamed: a shell in it would stay in the removed folder.
    if _mount(folder) != _mount(folder.parent) or os.path.samefile(folder, os.curdir):
        return [inside, folder.with_name(name)]
    return [folder.with_name(name), inside]


def _mount(folder: Path) -> object:
    """Return an identifier of the mount that a folder is in; a mount point is in its own mount."""
    descriptor = open_folder(folder)
    if descriptor is None:
        return os.stat(folder).st_dev
    try:
        with suppress(OSError), open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as info:
            if match := re.search(r"^mnt_id:\s*(\d+)", info.read(), re.MULTILINE):
                return match[1]
        return os.fstat(descriptor).st_dev
    finally:
        os.close(descriptor)


def _claim(folder: Path) -> tuple[Path, int]:
    """Return a marked staging folder and the descriptor that locks it."""
    preferred, *alternatives = _staging_folders(folder)
    try:
        return preferred, _lock(preferred, folder)
    except OSError as error:
        inside = alternatives[0] if alternatives else preferred
        if inside.parent != folder or error.errno not in _READ_ONLY:
            raise
    return inside, _lock(inside, folder)


def _lock(staging: Path, folder: Path) -> int:
    """Return the descriptor that locks a staging folder, which is created if missing.

    Raises:
        StorageError: another process holds the lock.
    """
    existed = os.path.lexists(staging)
    try:
        for attempt in range(_ATTEMPTS):
            try:
                claim(staging)
                lock = lock_folder(staging)
            except FileNotFoundError:
                if attempt == _ATTEMPTS - 1:
                    raise
                continue  # the process that held it has just removed it
            if lock is None:
                break
            if is_marked(staging):
                return lock
            os.close(lock)
    except BaseException:  # also on a signal
        if not existed:
            discard_unlocked(staging)
        raise
    raise StorageError(f"Another df2 command writes to {folder} at this moment.")


def _release(staging: Path, lock: int) -> None:
    """Give up a staging folder and its lock; keep the folder if it holds the only copy of some content."""
    if _is_needed(staging):
        os.close(lock)
    else:
        discard(staging, lock)


def _recover_killed(folder: Path, staging: Path) -> None:
    """Recover and remove the staging folder of a killed process."""
    lock = _lock(staging, folder)
    try:
        _recover(folder, staging)
    except BaseException:
        os.close(lock)
        raise
    discard(staging, lock)


def _is_needed(staging: Path) -> bool:
    """Return whether a staging folder holds content that is nowhere else."""
    return os.path.lexists(staging / _MOVES) or (os.path.lexists(staging / _OLD) and os.path.lexists(staging / _NEW))


def _recover(folder: Path, staging: Path) -> None:
    """Finish or undo an interrupted replacement.

    Raises:
        StorageError: the old content cannot be moved back to its place.
        OSError: an entry cannot be moved.
    """
    for name in (_OLD, _NEW):
        # A folder from elsewhere may contain a marked staging folder whose links lead out of it.
        if os.path.lexists(staging / name) and not stat.S_ISDIR((staging / name).lstat().st_mode):
            raise StorageError(
                f"{staging / name} is no folder, so df2 did not make it: look into {staging}, then remove it."
            )
    if os.path.lexists(staging / _MOVES):
        _finish_moves(folder, staging)
    elif _is_needed(staging):
        if folder.is_dir() and entries(folder):
            raise StorageError(
                f"The export that was at {folder} lies in {staging / _OLD} since a process was killed that replaced "
                "it, and by now there is something else at its place: move one of them elsewhere."
            )
        os.replace(staging / _OLD, folder)
        sync_folder(folder.parent)


def _read_moves(staging: Path) -> tuple[list[str], list[str]]:
    """Return the names to move out and the names to move in.

    Raises:
        StorageError: the list was not written by :meth:`Replacement.commit`.
    """
    try:
        moves = json.loads(read_regular(staging / _MOVES))
        old, new = moves[_OLD], moves[_NEW]
        if all(os.path.basename(name) == name not in ("", ".", "..", MARK) for name in (*old, *new)):
            return old, new
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise StorageError(f"{staging / _MOVES} is not a list that df2 wrote: look into {staging}, then remove it.")


def _finish_moves(folder: Path, staging: Path) -> None:
    """Do the remaining moves of the list: old entries out, new entries in."""
    old, new = _read_moves(staging)
    (staging / _OLD).mkdir(exist_ok=True)
    for name in old:
        is_new = name in new and not os.path.lexists(staging / _NEW / name)
        if not is_new and os.path.lexists(folder / name):
            os.rename(folder / name, staging / _OLD / name)
    for name in new:
        if name == new[-1]:
            sync_folder(folder)  # the last entry says that the others are in place
        if os.path.lexists(staging / _NEW / name):
            os.rename(staging / _NEW / name, folder / name)
    sync_folder(folder)
    with suppress(FileNotFoundError):
        (staging / _NEW).rmdir()
    (staging / _MOVES).unlink()


def _undo_moves(folder: Path, staging: Path) -> None:
    """Move the new entries out again and the old entries back in."""
    if not os.path.lexists(staging / _MOVES):
        return  # all moves were done
    for name in (_OLD, _NEW):
        (staging / name).mkdir(exist_ok=True)
    _, new = _read_moves(staging)
    for name in reversed(new):
        if not os.path.lexists(staging / _NEW / name) and os.path.lexists(folder / name):
            os.rename(folder / name, staging / _NEW / name)
    for name in os.listdir(staging / _OLD):
        os.rename(staging / _OLD / name, folder / name)
    (staging / _OLD).rmdir()
    (staging / _MOVES).unlink()
