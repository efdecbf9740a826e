"""Size limits of a source's files, and the difference between a fault of a file and an error of the place.

An error of the place (missing permission, damaged disk, failing server) is a SourceError: the ingestion ends and the
registry stays as it was. A fault of a file (a link out of the source, a folder instead of a file, too many bytes) is a
:class:`Fault`, which becomes an issue of that file.
"""

from __future__ import annotations

import os
import stat
from typing import Final

from registry.errors import UnreadableSourceError
from registry.storage.filesystems import reason

#: Maximum bytes of an annotation; the release's largest has 35,590.
MAX_ANNOTATION: Final = 16 << 20
#: Maximum bytes of a retrieval list; the release's largest has some 6 MB.
MAX_LIST: Final = 64 << 20
#: Maximum bytes of a photo; the release's have some 60 KB.
MAX_PHOTO: Final = 128 << 20
#: First bytes of a photo to search for its header.
PHOTO_START: Final = 16 << 10
#: First bytes to search if the header is not in those; colour profiles and previews may precede it.
MAX_PHOTO_HEADER: Final = 16 << 20

#: Flags to open a file for reading. Without O_NONBLOCK, opening a FIFO waits for a writer.
OPEN_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_KINDS: Final = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class Fault(str):
    """Reason why a source's file cannot be used: the text of an issue."""

    __slots__ = ()


def too_large(size: int | None, max_bytes: int) -> Fault:
    """Return the fault of a file with more than ``max_bytes`` bytes; ``size`` is None if it was not read to its end."""
    actual = "more" if size is None else f"{size:,}"
    return Fault(f"expected at most {max_bytes:,} bytes, found {actual}")


def kind_of_file(mode: int, default: str) -> str:
    """Return the kind of a file that is not regular, such as ``a socket``, from its ``st_mode``."""
    return _KINDS.get(stat.S_IFMT(mode), default)


def cannot_read(path: object, error: OSError) -> UnreadableSourceError:
    """Return the error that ends an ingestion because ``path`` cannot be read."""
    return UnreadableSourceError(f"Cannot read {path}: {reason(error)}")


def shown_name(name: str) -> str:
    """Return a file name for messages and tables, with unprintable characters escaped."""
    return name if name.isprintable() else name.encode("unicode_escape").decode("ascii")
