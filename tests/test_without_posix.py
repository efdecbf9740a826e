"""Without the modules and functions that only POSIX has, a user can still export, verify and sync."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

#: Hides POSIX from all later imports. Modules of Python itself that choose by ``sys.platform`` are imported before.
HIDE = """
import asyncio, ctypes, multiprocessing.util, os, shutil, signal, subprocess, sys, tempfile, warnings

warnings.filterwarnings("ignore", "only soft file lock is available")
for name in ("fcntl", "grp", "pwd", "resource", "termios"):
    sys.modules[name] = None
for name in ("O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "geteuid", "getuid", "pread", "register_at_fork"):
    delattr(os, name)
for name in ("SIGHUP", "SIGKILL"):
    delattr(signal, name)

open_file = os.open

def open_no_folder(path, flags, *args, **options):
    if isinstance(path, (str, os.PathLike)) and os.path.isdir(path):
        raise PermissionError(13, "Permission denied", os.fspath(path))
    return open_file(path, flags, *args, **options)

os.open = open_no_folder
shutil._use_fd_functions = False
load_library = ctypes.CDLL

def load_no_libc(name, *args, **options):
    if name is None:
        raise TypeError("bad argument type for built-in operation")
    return load_library(name, *args, **options)

ctypes.CDLL = load_no_libc
"""
IMPORT = """
import importlib, pkgutil, registry
for module in pkgutil.walk_packages(registry.__path__, "registry."):
    if module.name != "registry.history.dvc_internals":  # imports DVC, which asks the system's name for its modules
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:
            if error.name not in ("torch", "torchvision"):
                raise
"""
RUN = """
from registry.cli.main import main
main(sys.argv[1:])
"""


def run(code: str, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python code in a process without POSIX, with temporary files of its own.

    It does not see the locks of other processes, so it would remove their temporary folders as leftovers.
    """
    temporary = cwd / "temporary"
    temporary.mkdir(exist_ok=True)
    command = [sys.executable, "-c", HIDE + code, *arguments]
    env = os.environ | {"DF2_TMPDIR": str(temporary), "TMPDIR": str(temporary)}
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, timeout=120, env=env)


def test_every_module_is_imported(tmp_path: Path) -> None:
    done = run(IMPORT, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("format", ["coco", "deepfashion2"])
def test_a_subset_is_exported_twice_and_verified(format: str, small_registry: Path, tmp_path: Path) -> None:
    registry = ["-r", str(small_registry)]
    export = ["export", format, str(tmp_path / "out"), "--images", "none", "--split", "train"]
    for options in ([], ["--overwrite"]):
        done = run(RUN, *registry, *export, *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        done = run(RUN, "verify", str(tmp_path / "out"), cwd=tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
    assert [path.name for path in tmp_path.glob(".*df2-export")] == []


def test_a_registry_is_synced_twice_and_verified(small_registry: Path, tmp_path: Path) -> None:
    for _ in range(2):
        done = run(RUN, "sync", str(small_registry), str(tmp_path / "copy"), cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    done = run(RUN, "verify", str(tmp_path / "copy"), cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_query_is_answered(small_registry: Path, tmp_path: Path) -> None:
    done = run(RUN, "-r", str(small_registry), "sql", "SELECT 1 AS a", "--format", "csv", cwd=tmp_path)
    assert (done.returncode, done.stdout.split()) == (0, ["a", "1"]), done.stderr
