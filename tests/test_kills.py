"""Kills of writers at random moments: the registry stays readable, old or new, and the next writer succeeds."""

from __future__ import annotations

import multiprocessing
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import registry
from registry.ingest.build import ingest
from registry.snapshot.manifest import MANIFEST_NAME
from registry.snapshot.sync import sync
from registry.snapshot.verify import verify_registry
from registry.storage.place import Place
from tests.helpers import write_split
from tests.registries import FEW, NEXT_FEW

pytestmark = pytest.mark.system

#: Kills per combination of writer and place, one in each of as many equal parts of the running time.
KILLS = 20

_SPAWN = multiprocessing.get_context("forkserver")
# Processes start with these modules loaded, so that kills hit the writing and not the imports.
_SPAWN.set_forkserver_preload(
    ["registry.snapshot.sync", "registry.ingest.build", "pyarrow.parquet", "s3fs", "aiobotocore.session"]
)


def _sync(source: str, dest: str, options: dict[str, Any]) -> None:
    sync(Place(source), Place(dest, options), prune=True)


def _ingest(source: str, dest: str, options: dict[str, Any]) -> None:
    ingest("train", source, dest, jobs=1, storage_options=options)


def _run(write: Callable[..., None], *args: Any, seconds: float | None = None) -> float:
    """Run a writer in a new process, kill it after ``seconds`` (None: never), and return its running time."""
    process = _SPAWN.Process(target=write, args=args)
    process.start()
    begin = time.perf_counter()
    process.join(seconds)
    process.kill()  # no effect on a process that has ended
    process.join()
    assert process.exitcode in (0, -signal.SIGKILL)
    return time.perf_counter() - begin


@pytest.mark.parametrize("where", ["local", "s3"])
@pytest.mark.parametrize("write", [_sync, _ingest])
def test_after_a_kill_the_registry_is_either_the_old_or_the_new_version(
    write: Callable[..., None], where: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    options = request.getfixturevalue("bucket") if where == "s3" else {}
    dest = "s3://df2/dest" if where == "s3" else str(tmp_path / "dest")
    sources, manifests = [], []
    for number, version in enumerate((FEW, NEXT_FEW)):
        raw = str(write_split(tmp_path / str(number) / "train", version))
        folder = str(tmp_path / f"registry{number}")
        ingest("train", raw, folder, jobs=1)
        sources.append(folder if write is _sync else raw)
        manifests.append(Place(folder).read(MANIFEST_NAME))
    place = Place(dest, options)
    _run(write, sources[0], dest, options)
    longest = max(_run(write, sources[k % 2], dest, options) for k in (1, 2))
    assert place.read(MANIFEST_NAME) == manifests[0]
    counts = [registry.open(dest, options).sql("SELECT count(*) FROM items").fetchall()]
    chance = random.Random(0)
    moments: list[float | None] = [1.2 * (number + chance.random()) / KILLS for number in range(KILLS)]
    chance.shuffle(moments)
    for number in range(4, KILLS * 5 // 4, 5):  # every fifth run completes, to measure the running time again
        moments.insert(number, None)
    current, seen = 0, [0, 0]
    for moment in moments:
        wanted = 1 - current
        if moment is None:
            longest = _run(write, sources[wanted], dest, options)
        else:
            _run(write, sources[wanted], dest, options, seconds=moment * longest)
        manifest = place.read(MANIFEST_NAME)
        assert manifest in manifests
        assert verify_registry(place).is_whole
        seen[manifest == manifests[wanted]] += 1
        current = manifests.index(manifest)
    assert all(seen), f"{seen[0]} ended before and {seen[1]} after the exchange: the moments were not spread"
    _run(write, sources[0], dest, options)
    _run(_sync, str(tmp_path / "registry0"), dest, options)  # removes files of killed writers
    assert place.read(MANIFEST_NAME) == manifests[0]
    assert registry.open(dest, options).sql("SELECT count(*) FROM items").fetchall() == counts[0]
    assert verify_registry(place).extra == ()
