"""Replacing a local folder by a new one at once, however it ends: an export, or the sample.

The new content is written to a marked folder (:mod:`registry.files.staging`) beside the folder, and both are exchanged
in one step. If the folder is a mount point, or its parent cannot be written, the marked folder lies inside it, and its
entries are moved one by one. A list of these moves is on the disk before the first of them; the next writer finishes
or undoes the moves of a killed process.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from registry.errors import StorageError, UsageError
from registry.files.durability import exchange, make_folders, sync_file, sync_folder, sync_tree
from registry.files.regular_files import read_regular
from registry.files.staging import MARK, claim, clear, discard, is_marked
from registry.files.temporary import temporary
from registry.storage.filesystems import reason

_SUFFIX: Final = ".df2-export"
_UNFINISHED, _NEW, _OLD, _MOVES = "unfinished", "new", "old", "moves.json"
_LONGEST: Final = 200
#: How often a marked folder is made again that another process removes.
_ATTEMPTS: Final = 100
#: What a new file system holds.
_OF_SYSTEM: Final = {"lost+found"}
#: What a system says where a folder cannot be renamed although entries in it can.
_FIXED: Final = (errno.EBUSY, errno.EXDEV, errno.EPERM, errno.EACCES)
_READ_ONLY: Final = (errno.EACCES, errno.EPERM, errno.EROFS)


class Replacement:
    """The new content of a folder, until it takes the place of the old one.

    Attributes:
        unfinished: folder to write the new content to; whoever ends the process may remove it.
    """

    def __init__(self, folder: Path, staging: Path, last: str) -> None:
        self.unfinished = staging / _UNFINISHED
        self._new = staging / _NEW
        self._folder = folder
        self._staging = staging
        self._last = last
        #: Until the content is whole, what ends the process hard removes it all.
        self._removable = ExitStack()
        self._removable.enter_context(temporary(staging))
        self.unfinished.mkdir()
        #: Errors of writing to the disk from here on are told to whoever holds it.
        self._handle = os.open(self.unfinished, os.O_RDONLY)

    def close(self) -> None:
        """Give back what the system holds for this."""
        os.close(self._handle)
        self._removable.close()

    def commit(self, files: Sequence[str]) -> None:
        """Put the new content in the place of the old one, when all of it is on the disk.

        Args:
            files: the paths of the new content.

        Raises:
            OSError: it cannot be; the old content is there.
        """
        sync_tree(self.unfinished, files, self._handle)
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
        was_there = self._folder.is_dir()

        def undo() -> None:
            os.rename(self._folder, self._new)
            if was_there:
                self._folder.mkdir()

        os.rename(self._new, self._folder)
        self._sync_or(undo)

    def _rename_both(self) -> None:
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
        try:
            sync_folder(self._folder.parent)
            sync_folder(self._staging)
        except OSError:
            undo()
            raise

    def _move_in(self) -> None:
        moves = {
            _OLD: self._in_order(entries(self._folder), reverse=True),
            _NEW: self._in_order(entries(self._new)),
        }
        partial = self._staging / f"{_MOVES}.partial"
        partial.write_text(json.dumps(moves))
        sync_file(partial)
        os.rename(partial, self._staging / _MOVES)
        sync_folder(self._staging)
        try:
            _go_on(self._folder, self._staging)
        except BaseException:
            _go_back(self._folder, self._staging)
            raise

    def _in_order(self, names: Iterable[str], *, reverse: bool = False) -> list[str]:
        """Return names sorted, the one without which the others do not count at the end."""
        return sorted(names, key=lambda name: (name == self._last, name), reverse=reverse)


def real_folder(path: Path, name: str) -> Path:
    """Return the real path of a folder that is to be replaced; it need not exist.

    Args:
        path: the folder, or a link to it.
        name: its path or URL in messages.

    Raises:
        UsageError: it is a file, or a link to nothing.
        StorageError: it cannot be looked at.
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
    """Return the names in a folder, without those of the file system and of our unfinished work."""
    names = sorted(set(os.listdir(folder)) - _OF_SYSTEM)
    return [name for name in names if name != _SUFFIX or not _is_ours(folder / name)]


def _is_ours(staging: Path) -> bool:
    """Return whether a folder is marked, or empty as a process leaves it that is killed before it marks it."""
    if is_marked(staging):
        return True
    with suppress(OSError):
        return stat.S_ISDIR(staging.lstat().st_mode) and not os.listdir(staging)
    return False


@contextmanager
def replacement(folder: Path, last: str) -> Iterator[Replacement]:
    """Hold a folder for its replacement; without :meth:`Replacement.commit`, nothing changes.

    What a process that was killed left is finished, undone or cleared before.

    Args:
        folder: a real path (not a link); it need not exist.
        last: name of the entry without which the others do not count: the first to go and the last to come.

    Raises:
        StorageError: another process replaces it, or something that is not ours has the name of our folder.
        OSError: it cannot be written.
    """
    parents = make_folders(folder.parent)
    try:
        staging, lock = _claim(folder)
        try:
            for other in _places(folder):
                if other != staging and _is_ours(other):
                    _end_of_killed(folder, other)
            _recover(folder, staging)
            clear(staging)
            replaced = Replacement(folder, staging, last)
            try:
                yield replaced
            finally:
                replaced.close()
                _recover(folder, staging)
        finally:
            if not _is_needed(staging):
                discard(staging)
            os.close(lock)
    finally:
        for parent in parents:
            with suppress(OSError):  # what was written lies there
                parent.rmdir()


def recover(folder: Path) -> None:
    """Finish or undo a replacement of a folder that a killed process left half done.

    Args:
        folder: a real path (not a link); it need not exist.

    Raises:
        StorageError: another process is replacing the folder, or the staging folder was not made by df2.
        OSError: an entry cannot be moved.
    """
    for staging in _places(folder):
        if _is_ours(staging):
            _end_of_killed(folder, staging)


def _places(folder: Path) -> list[Path]:
    """Return where the marked folder may be, the better place first."""
    name = f".{folder.name}{_SUFFIX}"
    if len(os.fsencode(folder.name)) > _LONGEST:
        name = f".{hashlib.sha256(os.fsencode(folder.name)).hexdigest()[:16]}{_SUFFIX}"
    inside = folder / _SUFFIX
    if not folder.is_dir():
        return [folder.with_name(name)]
    if folder == folder.parent:
        return [inside]
    # The working directory is not replaced either: whoever stands in it would see the old one, removed.
    if _mount(folder) != _mount(folder.parent) or os.path.samefile(folder, os.curdir):
        return [inside, folder.with_name(name)]
    return [folder.with_name(name), inside]


def _mount(folder: Path) -> object:
    """Return what tells apart the mounts that folders lie in; a folder that is mounted lies in its own."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError), open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as info:
            if match := re.search(r"^mnt_id:\s*(\d+)", info.read(), re.MULTILINE):
                return match[1]
        return os.fstat(descriptor).st_dev
    finally:
        os.close(descriptor)


def _claim(folder: Path) -> tuple[Path, int]:
    """Return a marked folder and the descriptor that locks it."""
    first, *others = _places(folder)
    try:
        return first, _lock(first, folder)
    except OSError as error:
        if not others or error.errno not in _READ_ONLY or others[0].parent != folder:
            raise
    return others[0], _lock(others[0], folder)


def _lock(staging: Path, folder: Path) -> int:
    for attempt in range(_ATTEMPTS):
        try:
            claim(staging)
            lock = os.open(staging, os.O_RDONLY)
        except FileNotFoundError:
            if attempt == _ATTEMPTS - 1:
                raise
            continue  # the process that held it has just removed it
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            break
        if is_marked(staging) and os.path.samestat(os.stat(staging), os.fstat(lock)):
            return lock
        os.close(lock)
    raise StorageError(f"Another df2 command writes to {folder} at this moment.")


def _end_of_killed(folder: Path, staging: Path) -> None:
    lock = _lock(staging, folder)
    try:
        _recover(folder, staging)
        discard(staging)
    finally:
        os.close(lock)


def _is_needed(staging: Path) -> bool:
    """Return whether a marked folder holds what has no other place by now."""
    return os.path.lexists(staging / _MOVES) or (os.path.lexists(staging / _OLD) and os.path.lexists(staging / _NEW))


def _recover(folder: Path, staging: Path) -> None:
    """Finish or undo an exchange that was interrupted.

    Raises:
        StorageError: the old content cannot be given its name back.
        OSError: something cannot be moved.
    """
    for name in (_OLD, _NEW):
        # Whoever hands out a folder may have put a marked one into it, with links that lead elsewhere.
        if os.path.lexists(staging / name) and not stat.S_ISDIR((staging / name).lstat().st_mode):
            raise StorageError(
                f"{staging / name} is no folder, so df2 did not make it: look into {staging}, then remove it."
            )
    if os.path.lexists(staging / _MOVES):
        _go_on(folder, staging)
    elif _is_needed(staging):
        if folder.is_dir() and entries(folder):
            raise StorageError(
                f"The export that was at {folder} lies in {staging / _OLD} since a process was killed that replaced "
                "it, and by now there is something else at its place: move one of them elsewhere."
            )
        os.rename(staging / _OLD, folder)
        sync_folder(folder.parent)


def _read_moves(staging: Path) -> tuple[list[str], list[str]]:
    try:
        moves = json.loads(read_regular(staging / _MOVES))
        old, new = moves[_OLD], moves[_NEW]
        if all(os.path.basename(name) == name not in ("", ".", "..", MARK) for name in (*old, *new)):
            return old, new
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise StorageError(f"{staging / _MOVES} is not a list that df2 wrote: look into {staging}, then remove it.")


def _go_on(folder: Path, staging: Path) -> None:
    """Move the old entries out and the new ones in, as far as that was not done."""
    old, new = _read_moves(staging)
    (staging / _OLD).mkdir(exist_ok=True)
    for name in old:
        is_new = name in new and not os.path.lexists(staging / _NEW / name)
        if not is_new and os.path.lexists(folder / name):
            os.rename(folder / name, staging / _OLD / name)
    for name in new:
        if name == new[-1]:
            sync_folder(folder)  # the last one says that the others are there
        if os.path.lexists(staging / _NEW / name):
            os.rename(staging / _NEW / name, folder / name)
    sync_folder(folder)
    with suppress(FileNotFoundError):
        (staging / _NEW).rmdir()
    (staging / _MOVES).unlink()


def _go_back(folder: Path, staging: Path) -> None:
    """Move the new entries out and the old ones in again."""
    if not os.path.lexists(staging / _MOVES):
        return  # all was moved
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
