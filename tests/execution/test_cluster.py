"""Calls for other machines: the same results, and no secret in them."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import registry
from registry.checks.run import run_checks
from registry.checks.settings import CheckSettings
from registry.embeddings.make import make_embeddings
from registry.errors import MissingDependencyError, NotFoundError, PasswordError, SourceError, UsageError
from registry.execution.cluster import for_cluster, max_pending
from registry.execution.in_order import in_order
from registry.execution.packing import pack, unpack
from registry.execution.worker import run_packed, versions
from registry.exports.run import Plan, export
from registry.ingest.build import ingest
from registry.ingest.describe import describe_photos
from tests.sources.packing import files_in, write_zipcrypto

SECRET = "marker-Geheimnis-7391"


def test_a_packed_secret_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    value = {"password": SECRET, "bytes": SECRET.encode(), "other": [1, "text"]}
    packed = pack(value, {SECRET: "DF2_ZIP_PASSWORD"})
    assert SECRET.encode() not in packed
    assert SECRET.encode() in pickle.dumps(value)
    monkeypatch.setenv("DF2_ZIP_PASSWORD", SECRET)
    assert unpack(packed) == value


@pytest.mark.parametrize(("there", "found"), [("", "has no"), ("Geheimnis-0", "has another")])
def test_an_environment_without_the_secret_is_refused(monkeypatch: pytest.MonkeyPatch, there: str, found: str) -> None:
    packed = pack([SECRET], {SECRET: "DF2_ZIP_PASSWORD"})
    monkeypatch.setenv("DF2_ZIP_PASSWORD", there)
    with pytest.raises(PasswordError, match=f"A worker {found} DF2_ZIP_PASSWORD in its environment"):
        unpack(packed)


def test_a_digest_of_a_secret_is_made_once_a_process() -> None:
    secrets = {SECRET: "DF2_ZIP_PASSWORD"}
    assert pack([SECRET], secrets) == pack([SECRET], secrets)


def test_a_call_does_not_repeat_what_calls_share() -> None:
    shared = pack("x" * 10_000, {})
    call = pack((len, (shared,)), {}, [shared])
    assert len(call) < 100
    assert run_packed(versions(), (), call, shared) == len(shared)


class Growing(ThreadPoolExecutor):
    """An executor that says how many calls it runs at a time."""

    num_workers = 1


def test_workers_that_come_later_get_calls() -> None:
    submitted: list[int] = []

    def calls() -> Iterator[tuple[int, Future[int]]]:
        for number in range(20):
            submitted.append(number)
            yield number, cluster.submit(abs, -number)

    with Growing(4) as threads:
        cluster = for_cluster(threads, 1, None, None)
        results = in_order(calls(), max_pending(cluster, 1))
        first = next(results)
        assert len(submitted) == 3
        threads.num_workers = 4
        assert [first, next(results)] == [(0, 0), (1, 1)]
        assert len(submitted) == 1 + 9
        assert list(results) == [(number, number) for number in range(2, 20)]


@pytest.mark.parametrize("package", ["deepfashion2-registry", "pillow", "pyarrow", "duckdb"])
def test_another_version_on_a_worker_is_refused(package: str) -> None:
    call = pack((len, ("abc",)), {})
    assert run_packed(versions(), (), call) == 3
    with pytest.raises(MissingDependencyError, match=rf"^Worker .* has {package} .*, and this machine has 9\.9\.9: "):
        run_packed(versions() | {package: "9.9.9"}, (), call)


def test_any_executor_ingests_a_protected_zip(
    small_source: Path, small_registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_zipcrypto(tmp_path / "train.zip", files_in(small_source), SECRET)
    monkeypatch.setenv("DF2_ZIP_PASSWORD", SECRET)
    with ThreadPoolExecutor(2) as threads:
        ingest("train", str(source), str(tmp_path / "other"), password=SECRET, executor=threads)
    assert files_in(tmp_path / "other") == files_in(small_registry)


@pytest.mark.parametrize(
    ("url", "options", "message"),
    [
        (
            "s3://bucket/release",
            {"s3:key": "AKIA0", "secret": "x" * 20},
            "The storage options s3:key, secret are secret",
        ),
        (
            "https://ada:hunter2secret@example.org/release",
            {},
            r"https://ada:\*\*\*@example\.org/release holds a secret",
        ),
        ("memory://release", {}, "memory://release lies in the memory of this process"),
        ("simplecache::memory://release", {}, "simplecache::memory://release lies in the memory of this process"),
        ("s3://b/r", {"client_kwargs": {"aws_secret_access_key": "x" * 20}}, "The storage options client_kwargs are"),
        (
            "s3://b/r",
            {"config_kwargs": {"proxies": ["http://ada:hunter2secret@h"]}},
            "The storage options config_kwarg",
        ),
        (
            "s3://b/r",
            {"endpoint_url": "http://ada:hunter2secret@h:9000"},
            "The storage options endpoint_url are secret",
        ),
    ],
)
def test_no_secret_and_no_memory_goes_to_a_worker(
    url: str, options: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with ThreadPoolExecutor(1) as threads, pytest.raises(UsageError, match=message):
        ingest("train", url, str(tmp_path / "r"), storage_options=options, executor=threads)
    assert not (tmp_path / "r").exists()


class Elsewhere(Executor):
    """Runs calls as on a machine where a path holds other files.

    Args:
        path: the path.
        other: a folder with the files that it holds there.
    """

    def __init__(self, path: Path, other: Path) -> None:
        self._path, self._other = path, other

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Run a call and return its future."""
        future: Future[Any] = Future()
        with self._exchanged():
            try:
                future.set_result(fn(*args, **kwargs))
            except Exception as error:  # noqa: BLE001  # as executors do
                future.set_exception(error)
        return future

    @contextmanager
    def _exchanged(self) -> Iterator[None]:
        aside = self._path.with_name("aside")
        self._path.rename(aside)
        self._other.rename(self._path)
        yield
        self._path.rename(self._other)
        aside.rename(self._path)


@pytest.fixture
def two_machines(demo: Path, tmp_path: Path) -> Elsewhere:
    """Return an executor where the release has one other annotation and one other photo, each of the same size."""
    shutil.copytree(demo / "data/sample", tmp_path / "release")
    ingest("train", str(tmp_path / "release"), str(tmp_path / "r"), jobs=1)
    shutil.copytree(tmp_path / "release", tmp_path / "other")
    for path in (tmp_path / "other" / "train" / "annos" / "000001.json", *(tmp_path / "other/train/image").iterdir()):
        path.write_bytes(path.read_bytes()[:-1] + b" ")
    return Elsewhere(tmp_path / "release", tmp_path / "other")


def test_workers_that_see_other_files_are_one_error(two_machines: Elsewhere, tmp_path: Path) -> None:
    release, target = str(tmp_path / "release"), str(tmp_path / "r")
    before = files_in(tmp_path / "r")
    calls: list[Callable[[], Any]] = [
        lambda: ingest("train", release, target, executor=two_machines),
        lambda: describe_photos("train", release, target, jobs=1, executor=two_machines),
        lambda: make_embeddings(target, "colour-texture", release, executor=two_machines),
        lambda: export(
            registry.open(target), Plan.of("crops"), str(tmp_path / "crops"), photos=release, executor=two_machines
        ),
    ]
    for call in calls:
        with pytest.raises(SourceError, match=r"^Worker .*/release holds other files than on the machine that started"):
            call()
    assert {name: data for name, data in files_in(tmp_path / "r").items() if not name.startswith(".df2")} == before
    assert not (tmp_path / "crops").exists()


def test_a_worker_compares_the_files_in_each_run(small_source: Path, tmp_path: Path) -> None:
    shutil.copytree(small_source, tmp_path / "other")
    elsewhere = Elsewhere(small_source, tmp_path / "other")
    ingest("train", str(small_source), str(tmp_path / "r"), executor=elsewhere)
    path = tmp_path / "other" / "annos" / "000001.json"
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    with pytest.raises(SourceError, match=r"holds other files than .* started the command: annos/000001\.json\. All"):
        ingest("train", str(small_source), str(tmp_path / "r"), executor=elsewhere)


def test_workers_read_the_registry_of_each_run(small_source: Path, small_registry: Path) -> None:
    with ThreadPoolExecutor(1) as threads:
        for _ in range(2):
            opened = registry.open(str(small_registry))
            cluster = for_cluster(threads, 1, None, None, str(small_registry))
            there = run_checks(opened, CheckSettings(), executor=cluster)
            assert there.results == run_checks(opened, CheckSettings()).results
            (small_source / "annos" / "000001.json").unlink(missing_ok=True)
            ingest("train", str(small_source), str(small_registry), jobs=1)


def test_workers_that_see_another_registry_are_one_error(
    small_source: Path, small_registry: Path, tmp_path: Path
) -> None:
    (small_source / "annos" / "000001.json").unlink()
    ingest("train", str(small_source), str(tmp_path / "other"), jobs=1)
    elsewhere = Elsewhere(small_registry, tmp_path / "other")
    cluster = for_cluster(elsewhere, 1, None, None, str(small_registry))
    opened = registry.open(str(small_registry))
    with pytest.raises(SourceError, match=r"/registry holds other files than .* started the command: images/"):
        run_checks(opened, CheckSettings(), executor=cluster)
    shutil.rmtree(tmp_path / "other")
    (tmp_path / "other").mkdir()
    cluster = for_cluster(elsewhere, 1, None, None, str(small_registry))
    with pytest.raises(NotFoundError, match=r"^Worker .*/registry"):
        run_checks(opened, CheckSettings(), executor=cluster)
