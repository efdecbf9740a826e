"""``df2`` in forks of a process that has loaded what most commands load (:mod:`tests.forks`)."""

from __future__ import annotations

import importlib
import os
import sys

#: Those that take most of the time of a short command; none of them starts a thread when it is imported.
_MODULES = (
    "duckdb", "pandas", "pyarrow.compute", "pyarrow.parquet", "registry.cli.main", "registry.ingest.build",
    "registry.ingest.fingerprint", "registry.snapshot.publish", "registry.store.registry",
    "rich.progress", "rich.table",
)  # fmt: skip


def before_forks() -> None:
    for name in _MODULES:
        importlib.import_module(name)


def df2(words: list[str], environment: dict[str, str]) -> None:
    """Run a command with further environment variables, as the program does."""
    from registry.cli.main import main

    os.environ.update(environment)
    sys.argv[:] = ["df2", *words]
    main()
