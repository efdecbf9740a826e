"""The tables in memory, which can be read while the modules of the pages are still being loaded."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registry.store.narrow import NarrowTables
    from registry.store.registry import Registry
    from registry.store.snapshot import Snapshot


def published(registry: Registry) -> Snapshot:
    """Return the version that is published now; its connections keep no blocks of files, which pages read once."""
    snapshot = registry.snapshot()
    limits = replace(snapshot.limits, caches_files=False)
    return replace(snapshot, limits=limits, own_tables=registry.own_tables)


def read_tables(registry: Registry) -> Future[NarrowTables]:
    """Return the tables in memory of the version that is published now, or the error of reading them, from a thread."""
    tables: Future[NarrowTables] = Future()

    def read() -> None:
        from registry.store.narrow import NarrowTables

        try:
            tables.set_result(NarrowTables(published(registry)))
        except BaseException as error:  # noqa: BLE001  # it is the answer
            tables.set_exception(error)

    threading.Thread(target=read, name="tables", daemon=True).start()
    return tables
