"""A replacement of a folder that is killed, interrupted or fails at one of its steps."""

from __future__ import annotations

import errno
import itertools
import os
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from registry.exports.local_files import LocalFiles
from registry.storage import replacement as module

NEW = {"export.json": b"new", "a.txt": b"new", "sub/b.txt": b"new", "only-new/d.txt": b"new"}
#: Exit code of :func:`replace_and_stop`.
NOT_REACHED = 77


def replace(folder: Path) -> None:
    files = LocalFiles(folder)
    with files.hold():
        files.write_all((name, data) for name, data in NEW.items() if name != "export.json")
        files.wait()
        files.finish(NEW["export.json"])


def before_forks() -> None:
    """Load the modules that a replacement loads: the files of modules are no steps of it."""
    with tempfile.TemporaryDirectory() as folder:
        replace(Path(folder) / "out")


def choose(way: str, patch: Callable[[Any, str, Any], None] = setattr) -> None:
    """Make Replacement use one of its ways."""
    if way == "no exchange":
        patch(module, "exchange", lambda first, second: False)
    elif way == "inside":
        patch(module, "_mount", lambda folder: folder)  # as if each folder were a mount point


def replace_and_stop(folder: str, way: str, number: int, how: str) -> None:
    """Replace a folder, and at a step of it (the first is 1) kill the process, or raise an interrupt or an error.

    Where the replacement has fewer steps, an interrupt or error ends the process with ``NOT_REACHED``.
    """
    choose(way)
    steps = itertools.count(1)
    _call_before_steps(lambda: _stop(how) if next(steps) == number else None)
    replace(Path(folder))
    if how != "kill" and next(steps) <= number:
        sys.exit(NOT_REACHED)


def _stop(how: str) -> None:
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    raise KeyboardInterrupt if how == "interrupt" else OSError(errno.EIO, "Input/output error")


def _call_before_steps(before: Callable[[], None]) -> None:
    changes = {"os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.link", "open"}
    sys.addaudithook(lambda event, _: before() if event in changes else None)
    for owner, name in ((module, "exchange"), (module, "sync_tree"), (os, "fsync")):
        call = getattr(owner, name)

        def stepping(*args: Any, call: Any = call) -> Any:
            before()
            return call(*args)

        setattr(owner, name, stepping)
