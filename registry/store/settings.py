"""Limits of a DuckDB connection: memory, time, and temporary files."""

from __future__ import annotations

import math
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb

from registry.errors import QueryError, StorageError, UsageError
from registry.files.private_folder import private_folder

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

_UNITS: Final = {
    "": 1, "B": 1,
    "KB": 1000, "MB": 1000**2, "GB": 1000**3, "TB": 1000**4,
    "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40,
    "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "TIB": 1 << 40,
}  # fmt: skip
_SIZE: Final = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([A-Za-z]*)\s*", re.ASCII)
#: DuckDB needs this much to read one file.
_LEAST_MEMORY: Final = 32 << 20
#: Queries over the released data write less than 2 GB of temporary files.
_MOST_DISK: Final = 10 << 30
_DISK_SHARE: Final = 4
#: A century; DuckDB counts milliseconds in 64 bits.
_MOST_SECONDS: Final = 3_155_760_000


@dataclass(frozen=True, slots=True)
class Limits:
    """Memory and time for a query.

    Attributes:
        memory: bytes that DuckDB may use.
        timeout: seconds that a query may run; None for no limit.
        caches_files: whether blocks of files that were read stay in that memory for the next query.
    """

    memory: int
    timeout: float | None = None
    caches_files: bool = True

    @classmethod
    def of(cls, memory: str | None = None, timeout: float | None = None) -> Limits:
        """Return the limits in a user's texts; without a memory limit, half of the machine's memory.

        Args:
            memory: such as ``"4GB"`` or ``"512MiB"``.
            timeout: seconds.

        Raises:
            UsageError: a value cannot be read or is out of range.
        """
        if timeout is not None and not 0 < timeout <= _MOST_SECONDS:  # NaN is out of range, too
            raise UsageError(f"Expected a timeout above 0 seconds, found {timeout}.")
        return cls(machine_memory() // 2 if memory is None else _bytes(memory), timeout)


def _bytes(text: str) -> int:
    match = _SIZE.fullmatch(text)
    unit = _UNITS.get(match[2].upper()) if match else None
    if not match or unit is None:
        raise UsageError(f"Expected a memory limit such as 4GB or 512MiB, found {text!r}.")
    size = math.floor(float(match[1]) * unit)
    if size < _LEAST_MEMORY:
        raise UsageError(f"The memory limit {text} is too small: expected at least {_LEAST_MEMORY >> 20}MiB.")
    return min(size, 1 << 60)


def machine_memory() -> int:
    """Return the bytes of memory of this machine, or of the cgroup of this process if that has fewer."""
    sizes = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else []
    return max(2 * _LEAST_MEMORY, min([*sizes, *_cgroup_limits()], default=4 << 30))


def _cgroup_limits(process: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """Return the memory limits of this process's cgroups, of version 1 and 2."""
    limits = []
    try:
        lines = process.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
    for line in lines:
        _, _, rest = line.partition(":")
        kinds, _, path = rest.partition(":")
        if kinds and "memory" not in kinds.split(","):
            continue
        base, name = (root / "memory", "memory.limit_in_bytes") if kinds else (root, "memory.max")
        group = base / path.strip("/")
        # A container sees its own group at the root; elsewhere, the limits of all parent groups apply, too.
        for folder in (group, *group.parents):
            if folder.is_relative_to(base):
                try:
                    limits.append(int((folder / name).read_text(encoding="ascii")))
                except (OSError, ValueError):  # "max", or no such file
                    continue
    return limits


def open_database(limits: Limits, *, spill: bool = False) -> DuckDBPyConnection:
    """Return a connection to a new in-memory database with limits.

    Args:
        limits: of memory and time.
        spill: whether DuckDB may write temporary files to :func:`registry.files.private_folder.private_folder`, at most
            a quarter of the free disk and 10 GiB. Every query can read that folder: False for a user's SQL.
    """
    config: dict[str, str | bool | int | float | list[str]] = {
        "python_enable_replacements": "false",  # a misspelt table must not find a Python variable
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "memory_limit": f"{limits.memory / 1024:.0f}KiB",
        "temp_directory": "",
    }
    if not limits.caches_files:
        config["enable_external_file_cache"] = "false"
    if limits.timeout is not None:
        config["max_execution_time"] = str(max(1, math.ceil(limits.timeout * 1000)))
    if spill:
        try:
            folder = private_folder()
            most = min(_MOST_DISK, shutil.disk_usage(folder).free // _DISK_SHARE)
            config |= {"temp_directory": str(folder), "max_temp_directory_size": f"{most // 1024}KiB"}
        except (StorageError, OSError, UnicodeError):  # no folder for temporary files: memory only
            pass
    return duckdb.connect(config=config)


def limit_error(error: duckdb.Error) -> QueryError | None:
    """Return an error that names the limit that DuckDB's error reached and how to raise it; None for other errors."""
    text = str(error)
    if isinstance(error, duckdb.OutOfMemoryException):
        if "max_temp_directory_size" in text or "temp_directory_size" in text:
            return QueryError(
                "The query needs more memory and more temporary files than it may have "
                f"(at most a quarter of the free disk, and 10 GiB): {text.splitlines()[0]}\n"
                "Ask for fewer rows at once, give it more memory (--memory 16GB, memory='16GB' in Python), or name a "
                "larger disk with DF2_TMPDIR."
            )
        return QueryError(
            f"The query needs more memory than its limit: {text.splitlines()[0]}\n"
            "Ask for fewer rows at once, or raise the limit: --memory 16GB, or memory='16GB' in Python."
        )
    if isinstance(error, duckdb.InterruptException) and "maximum execution time" in text:
        return QueryError(
            "The query ran longer than its time limit and was ended. Ask for less at once, or raise the limit: "
            "--timeout SECONDS, or timeout=SECONDS in Python."
        )
    return None
