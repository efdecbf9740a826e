"""Write, copy, move and check files of a local folder.

Writes are atomic and durable. Files and links are replaced; folders, devices and pipes never are.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final

from registry.files.durability import make_folders, replace_file

_BLOCK: Final = 1 << 20


def path_inside(root: Path, name: str) -> Path:
    """Return the path of a file below a folder, for writing or removing it.

    The file itself may be a link, as DVC makes them: the link is replaced or removed.

    Raises:
        OSError: a folder between ``root`` and the file is a link.
    """
    folder = root
    for part in name.split("/")[:-1]:
        folder /= part
        check_no_link(folder)
    return root / name


def check_no_link(folder: Path) -> None:
    """Raise if a folder is a link.

    Raises:
        OSError: the folder is a link (``ELOOP``).
    """
    if folder.is_symlink():
        raise OSError(
            errno.ELOOP,
            f"{folder} is a link, and df2 writes and removes nothing behind links. Expected a folder: replace the link "
            "by the folder that it leads to",
            str(folder),
        )


def hard_link(source: Path | str, target: Path | str) -> bool:
    """Make a hard link to a file; return False where none can be made.

    The file systems may differ or know no such links, a file may have as many as it can, or the source is gone.
    """
    try:
        os.link(source, target)
    except (OSError, NotImplementedError):
        return False
    return True


def write_file(target: Path, data: bytes) -> None:
    """Write a file atomically and durably; create its folder if missing.

    The caller holds the lock of the folder (:func:`registry.files.lock.locked`): the partial file's name is fixed.

    Raises:
        OSError: the file cannot be written; the old file is as it was.
    """
    _prepare(target)
    with _partial(target) as partial:
        with open(partial, "xb") as file:
            file.write(data)
        replace_file(partial, target)


def copy_file(source: Path, target: Path) -> None:
    """Copy a file atomically and durably, as :func:`write_file`.

    Raises:
        OSError: the source cannot be read (its path is the error's ``filename``), or the target cannot be written.
    """
    _prepare(target)
    with open(source, "rb") as reader, _partial(target) as partial:
        with open(partial, "xb") as writer:
            for block in _blocks(reader):
                writer.write(block)
        replace_file(partial, target)


def move_file(source: Path, target: Path) -> None:
    """Move a file durably within a file system; create the target's folder if missing.

    Raises:
        OSError: the file cannot be moved; the old target is as it was.
    """
    _prepare(target)
    replace_file(source, target)


def _prepare(target: Path) -> None:
    """Create the folder of a file.

    Raises:
        OSError: the folder cannot be created, or a folder, device or pipe has the file's name.
    """
    make_folders(target.parent)
    with suppress(FileNotFoundError):
        mode = target.lstat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISLNK(mode):
            what = "a folder" if stat.S_ISDIR(mode) else "a device or pipe"
            raise OSError(errno.EEXIST, f"{what} has this name, expected a file or nothing", str(target))


@contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """Yield the path for a partial file beside the target; remove the file afterwards unless it was renamed.

    The name is always the same: a file that a killed writer left is removed. If it is a link, its target is not.
    """
    path = target.with_name(f".{target.name}.partial")
    path.unlink(missing_ok=True)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    """Yield the bytes of a file; a read error carries the file's path."""
    while True:
        try:
            block = file.read(_BLOCK)
        except OSError as error:
            raise OSError(error.errno, error.strerror, file.name) from error
        if not block:
            return
        yield block
