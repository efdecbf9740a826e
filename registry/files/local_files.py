"""Local files that take the place of others as a whole, and are on the disk when that is said.

A reader sees the old file or the new one. What has the name and is no file, such as a device, is never replaced.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from registry.files.durability import make_folders, sync_file, sync_folder

_BLOCK: Final = 1 << 20


def path_inside(root: Path, name: str) -> Path:
    """Return the path of a file below a folder, which is to be written or removed.

    Links to files may lie there, as DVC makes them: they are replaced or removed themselves.

    Raises:
        OSError: a folder on the way is a link, and leads to files that are not of this folder.
    """
    folder = root
    for part in name.split("/")[:-1]:
        folder /= part
        check_no_link(folder)
    return root / name


def check_no_link(folder: Path) -> None:
    """Raise if a folder is a link.

    Raises:
        OSError: it is.
    """
    if folder.is_symlink():
        raise OSError(
            errno.ELOOP,
            f"{folder} is a link, and df2 writes and removes nothing behind links. Expected a folder: replace the link "
            "by the folder that it leads to",
            str(folder),
        )


def write_file(target: Path, data: bytes) -> None:
    """Write a file; if its name does not reach the disk, the old file has it again.

    Raises:
        OSError: it cannot be written; the old file is as it was.
    """
    _prepare(target)
    with _partial(target) as (partial, descriptor):
        _write_all(descriptor, data)
        os.fsync(descriptor)
        _replace_or_put_back(partial, target)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file.

    Raises:
        OSError: the source cannot be read (its path is the error's ``filename``), or the target cannot be written.
    """
    _prepare(target)
    with open(source, "rb") as opened, _partial(target) as (partial, descriptor):
        for block in _blocks(opened):
            _write_all(descriptor, block)
        os.fsync(descriptor)
        os.replace(partial, target)
        sync_folder(target.parent)


def move_file(source: Path, target: Path) -> None:
    """Move a file within a file system.

    Raises:
        OSError: it cannot be moved.
    """
    _prepare(target)
    sync_file(source)
    os.replace(source, target)
    sync_folder(target.parent)


def _prepare(target: Path) -> None:
    """Make the folder of a file.

    Raises:
        OSError: it cannot be made, or something has the name of the file that no file may replace.
    """
    make_folders(target.parent)
    with suppress(FileNotFoundError):
        mode = target.lstat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "a device or pipe"
            raise OSError(errno.EEXIST, f"{what} has this name, expected a file or nothing", str(target))


@contextmanager
def _partial(target: Path) -> Iterator[tuple[Path, int]]:
    """Yield path and descriptor of a new file beside a target; it is removed unless it was renamed.

    A file that a killed writer left is removed before; where it is a link, what it leads to is not written.
    """
    path = target.with_name(f".{target.name}.partial")
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        yield path, descriptor
    finally:
        os.close(descriptor)
        path.unlink(missing_ok=True)


def _replace_or_put_back(new: Path, target: Path) -> None:
    old = target.with_name(f".{target.name}.{os.urandom(4).hex()}.partial")
    is_new = not os.path.lexists(target)
    with suppress(OSError):  # there is none, or the file system has no links
        os.link(target, old, follow_symlinks=False)
    try:
        os.replace(new, target)
        try:
            sync_folder(target.parent)
        except OSError:
            if is_new:
                target.unlink()
            elif os.path.lexists(old):
                os.replace(old, target)
            raise
    finally:
        old.unlink(missing_ok=True)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    while True:
        try:
            block = file.read(_BLOCK)
        except OSError as error:
            raise OSError(error.errno, error.strerror, file.name) from error
        if not block:
            return
        yield block


def _write_all(descriptor: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
