"""A registry and the sources around it as a server shows them: opened once for all requests."""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.errors import RegistryError, UsageError
from registry.subset.options import Subset
from registry.web.check_runs import CheckRuns
from registry.web.comparison import OldVersion
from registry.web.jobs import Jobs
from registry.web.library import Library
from registry.web.pictures import PictureReader
from registry.web.sql_workers import SqlWorkers
from registry.web.state import State
from registry.web.tables import published

if TYPE_CHECKING:
    from starlette.requests import Request

    from registry.sources.photos import Photos
    from registry.storage.options import StorageOptions
    from registry.store.identities import Identities
    from registry.store.narrow import NarrowTables
    from registry.store.registry import Registry
    from registry.store.selection import Selection

#: Selections that are kept open.
_SELECTIONS = 4
#: Seconds for the first page, before a process of SQL takes its share of the machine.
_FIRST_PAGE = 1.0
#: Evaluated predictions that are kept, of a model and a subset each.
_MODELS = 4
#: Plots and tables of statistics that are kept.
_STATISTICS = 256
#: Differences from the other version that are kept, of a subset each.
_DIFFERENCES = 2


@dataclass(frozen=True)
class Settings:
    """How to serve a registry.

    Attributes:
        photos: of the release; None to show annotations on plain canvases.
        named: subsets by name: those of params.yaml, and that of the command.
        params: the parameter file; its folder has ``checks/accepted.jsonl`` and ``corrections``.
        edits: whether pages may write exceptions and corrections to the working tree.
        against: another version to compare with, and its name.
        predictions: of models, by name.
        embeddings: model or file with the vectors of items; None for all models in the registry.
        runs_sql: whether SQL of users is answered.
        sql_seconds: after which a query of users ends.
        command: beginning of a command line for the same registry: ``df2 -r data/registry``.
        python: expression that opens it in Python: ``registry.open("data/registry")``.
        root_path: prefix that a proxy adds to all addresses: ``/fashion``; empty without one.
        task: of the predictions: ``boxes``, ``masks`` or ``landmarks``.
        storage_options: passed to fsspec for URLs of predictions and embeddings.
        items: files of the lists of items of subsets, by their digests, without secrets.
        tables: files of the user's tables by name, without secrets.
    """

    photos: Photos | None = None
    named: Mapping[str, Subset] = field(default_factory=dict)
    params: Path = Path("params.yaml")
    edits: bool = False
    against: tuple[Registry, str] | None = None
    predictions: Mapping[str, Any] = field(default_factory=dict)
    embeddings: str | None = None
    runs_sql: bool = True
    sql_seconds: float = 10.0
    command: str = "df2"
    python: str = "registry.open()"
    root_path: str = ""
    task: str = "boxes"
    storage_options: StorageOptions | None = None
    items: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, str] = field(default_factory=dict)


class Site:
    """A registry as the pages see it.

    Args:
        registry: to show; where it is local and replaced, the pages show the new version.
        settings: how to serve it.
        tables: in memory, of the version that was published at the start; None to read them when they are needed.

    Attributes:
        registry, settings: as given.
        workers: answer SQL of users.
        statistics: plots and tables, by version, subset and name.
        models: evaluated predictions, by version, subset and name.
        embeddings: vectors in memory, by version.
        root_path: see :class:`Settings`.
        library: the photos and their thumbnails.
        pictures: reads images with their annotation.
        checks: runs of the checks.
        differences: from the other version, by versions and subset.
        old_version: the other version; None without one.
    """

    def __init__(self, registry: Registry, settings: Settings, tables: Future[NarrowTables] | None = None) -> None:
        self.registry = registry
        self.settings = settings
        self.root_path = settings.root_path
        #: Pages depend on the settings and on files beside the registry too: no answer outlives its server.
        self.run_id = secrets.token_hex(8)
        self.library = Library(settings.photos)
        self.pictures = PictureReader(registry, self.narrow, settings.photos is not None)
        self.checks = CheckRuns(self)
        self.differences = Jobs(_DIFFERENCES)
        self.old_version: OldVersion | None = None
        if settings.against is not None:
            self.old_version = OldVersion(*settings.against, settings.photos is not None)
        self._lock = threading.Lock()
        self._choosing = threading.Lock()
        self._first_tables = tables
        self._narrow: tuple[str, NarrowTables] | None = None
        self._identities: tuple[NarrowTables, Identities] | None = None
        self._selections: OrderedDict[tuple[str, str], Selection] = OrderedDict()
        self._columns: tuple[str, list[dict[str, str]]] | None = None
        self.workers = SqlWorkers(registry, settings.sql_seconds)
        self.statistics = Jobs(_STATISTICS, at_once=2)
        self.models = Jobs(_MODELS)
        self.embeddings = Jobs(1)

    def close(self) -> None:
        """End the processes of SQL and the threads of photos."""
        self.workers.close()
        self.library.pool.shutdown(wait=False, cancel_futures=True)

    def navigation(self) -> list[tuple[str, str]]:
        """Return path and name of the pages that have something to show."""
        pages = [("/", "Images"), ("/identities", "Identities"), ("/statistics", "Statistics"), ("/checks", "Checks")]
        pages += [("/predictions", "Predictions")] if self.settings.predictions else []
        pages += [("/compare", "Compare")] if self.settings.against else []
        return pages + ([("/sql", "SQL")] if self.settings.runs_sql else [])

    def embedding_models(self) -> list[str]:
        """Return the models to choose from for similar items; none where the settings name the vectors."""
        from registry.embeddings.table import model_names

        return [] if self.settings.embeddings is not None else model_names(self.registry)

    def has_embeddings(self) -> bool:
        """Return whether there are vectors of items."""
        return self.settings.embeddings is not None or bool(self.embedding_models())

    def version(self) -> str:
        """Return the digest of the manifest of the version that is published now."""
        return self.registry.snapshot().manifest.sha256

    def state(self, request: Request) -> State:
        """Return the subset of an address.

        Raises:
            UsageError: see :meth:`registry.web.state.State.of`; or a condition where no SQL of users is answered.
        """
        state = State.of(request.query_params, self.settings.named)
        if "where" in state.options and not self.settings.runs_sql:
            raise UsageError("where: this server answers no SQL (--no-sql).")
        return state

    def narrow(self) -> NarrowTables:
        """Return the tables in memory of the version that is published now."""
        from registry.store.narrow import NarrowTables

        with self._lock:
            snapshot = published(self.registry)
            digest = snapshot.manifest.sha256
            if self._first_tables is not None:
                first, self._first_tables = self._first_tables, None
                if first.exception() is None:
                    self._narrow = (first.result().version, first.result())
            if self._narrow is None or self._narrow[0] != digest:
                self._narrow = (digest, NarrowTables(snapshot))
            return self._narrow[1]

    def columns(self) -> list[dict[str, str]]:
        """Return the columns of all tables and views; see :meth:`registry.store.registry.Registry.tables`."""
        version = self.version()
        if self._columns is None or self._columns[0] != version:
            self._columns = version, self.registry.tables()
        return self._columns[1]

    def identities(self) -> Identities:
        """Return the identities of the version that is published now."""
        from registry.store.identities import Identities

        narrow = self.narrow()
        with self._lock:
            if self._identities is None or self._identities[0] is not narrow:
                self._identities = (narrow, Identities(narrow))
            return self._identities[1]

    def warm_up(self) -> None:
        """Prepare the first page before its request; an error is left to that request."""
        with suppress(RegistryError):
            self.narrow().facets(Subset())
        if self.settings.runs_sql:
            time.sleep(_FIRST_PAGE)
            with suppress(OSError):
                self.workers.start()

    def confined(self, subset: Subset) -> Subset:
        """Return a subset with the items that its condition chooses instead of the condition.

        They are found where SQL of users runs. Conditions of named subsets are those of the owner and stay.

        Raises:
            UsageError, QueryError: the condition is not allowed, or takes too much.
        """
        if subset.where is None or any(subset.where == trusted.where for trusted in self.settings.named.values()):
            return subset
        chosen = self.workers.keys(self.version(), subset.where)
        return replace(subset, where=None, items=chosen if subset.items is None else subset.items.within(chosen))

    def tables(self, subset: Subset) -> Registry | Selection:
        """Return the registry itself, or a subset of it with all views.

        Raises:
            UsageError: the subset cannot be chosen.
        """
        return self.registry if subset == Subset() else self.selection(subset)

    def selection(self, subset: Subset) -> Selection:
        """Return a subset with all views, for pages that count by them; those used last stay open.

        Raises:
            UsageError: the subset cannot be chosen.
        """
        from registry.store.selection import Selection

        confined = self.confined(subset)
        key = self.version(), confined.digest
        with self._choosing:  # at most one at a time: each takes memory of its own
            if key in self._selections:
                self._selections.move_to_end(key)
                return self._selections[key]
            selection = self._selections[key] = Selection(published(self.registry), confined)
            while len(self._selections) > _SELECTIONS:
                self._selections.popitem(last=False)
            return selection
