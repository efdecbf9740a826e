"""Work on a Dask scheduler and its workers, started as processes on 127.0.0.1."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner

import registry
from registry.cli.main import main
from registry.errors import SourceError, StorageError
from registry.execution import dask
from registry.execution.cluster import ClusterExecutor
from registry.execution.dask import dask_executor
from registry.ingest.build import ingest
from registry.sample import write_sample
from registry.subset.resplit import Resplit
from tests.execution.dask_cluster import Cluster, cluster, die_once, sleep
from tests.sources.packing import files_in, write_zipcrypto
from tests.waiting import until_empty

pytestmark = [pytest.mark.system, pytest.mark.xdist_group("dask")]
BIN = Path(sys.executable).parent
SECRET = "marker-Geheimnis-7391"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Yield a cluster of two workers that know the password of a zip."""
    with cluster(tmp_path_factory.mktemp("workers"), 2, DF2_ZIP_PASSWORD=SECRET) as started:
        yield started


def run(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """Return a command that has ended."""
    command = [str(BIN / "df2"), *map(str, words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)


def df2(*words: object) -> None:
    """Run a command that must not fail, in this process: each process imports for a second."""
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == 0, done.output


def test_a_cluster_makes_the_same_registry(
    running: Cluster, demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DF2_ZIP_PASSWORD", SECRET)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "release").mkdir()
    write_zipcrypto(tmp_path / "release" / "train.zip", files_in(demo / "data/sample/train"), SECRET)
    there = ["--scheduler", running.address]
    for target, processes, where in (("here", ["-j", 1], []), ("there", there, there)):
        df2("ingest", "--split", "train", "release", target, *processes)
        df2("-r", target, "photos", "describe", "--photos", "release", *processes)
        df2("-r", target, "export", "crops", f"{target}/crops", "--photos", "release", *where)
        df2("-r", target, "embeddings", "make", "colour-texture", "--photos", "release", *processes)
    made_here, made_there = (
        {name: data for name, data in files_in(tmp_path / target).items() if not name.startswith(".df2/")}
        for target in ("here", "there")
    )
    assert made_here == made_there
    assert {name.partition("/")[0] for name in made_here} > {"crops", "embeddings", "items", "photos"}


#: Every format that workers can make, with options that count what is odd.
EXPORTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("coco", {"attributes": True, "classes": "tops=short sleeve top,vest; skirts=skirt"}),
    ("coco-per-category", {"columns": "scores.score"}),
    ("yolo", {"task": "segment"}),
    ("yolo", {"task": "pose", "landmarks": "per-category", "images": "copy", "photos": "release"}),
    ("voc", {"resplit": Resplit.parse("a=0.5,b=0.5", 0)}),
    ("deepfashion2", {"renumber": True, "subset": {"where": "scores.score > 2"}}),
    ("webdataset", {"images": "copy", "photos": "release", "shard_size": 50}),
    ("huggingface", {"images": "none"}),
)


def test_a_cluster_makes_the_same_exports(running: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_sample(tmp_path / "release", 90, 45)
    for split in ("train", "validation"):
        ingest(split, "release", "registry", jobs=1)
    scores = pa.table({"split": ["train"] * 2, "image_id": [1, 2], "item_no": [1, 1], "score": [7, 3]})
    opened = registry.open("registry", tables={"scores": scores})
    with dask_executor(running.address, 60) as workers:
        for number, (name, options) in enumerate(EXPORTS):
            for target, executor in (("here", None), ("there", workers)):
                registry.export(opened, name, f"{target}/{number}", executor=executor, **options)
    assert files_in(tmp_path / "here") == files_in(tmp_path / "there")
    assert {path.partition("/")[0] for path in files_in(tmp_path / "here")} == set(map(str, range(len(EXPORTS))))


def test_formats_without_a_map_have_no_scheduler(tmp_path: Path) -> None:
    done = run(tmp_path, "export", "pairs", "out", "--scheduler", "tcp://127.0.0.1:1")
    assert done.returncode == 2
    assert "--scheduler" in done.stderr


def test_a_bad_file_is_an_issue_of_its_own(
    running: Cluster, small_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (small_source / "annos" / "000003.json").write_text("{")
    for target, *where in (("q",), ("r", "--dask", running.address)):
        df2("ingest", "--split", "train", small_source, target, "--on-error", "quarantine", *where)
    assert files_in(tmp_path / "r") == files_in(tmp_path / "q")


def test_a_cluster_counts_the_same_rows(
    running: Cluster, small_registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DASK_DISTRIBUTED__ADMIN__LARGE_GRAPH_WARNING_THRESHOLD", "1kB")
    (tmp_path / "scores.csv").write_text("split,image_id,score\n" + "train,1,0.5\n")
    for options in (["--table", "scores=scores.csv"], ["--source", "user"]):
        here = run(tmp_path, "-r", "registry", "check", *options)
        there = run(tmp_path, "-r", "registry", "check", *options, "--scheduler", running.address)
        assert (there.returncode, there.stdout, there.stderr) == (here.returncode, here.stdout, here.stderr)
        assert '"count": 1' in here.stdout


def test_workers_without_the_password_are_one_error(
    tmp_path: Path, small_source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = write_zipcrypto(tmp_path / "train.zip", files_in(small_source), SECRET)
    with cluster(tmp_path, 1, DF2_ZIP_PASSWORD="") as started:
        monkeypatch.setenv("DF2_ZIP_PASSWORD", SECRET)
        where = ["--scheduler", started.address, "--on-error", "quarantine"]
        done = run(tmp_path, "ingest", "--split", "train", source, "r", *where)
    assert done.returncode == 3
    assert "A worker has no DF2_ZIP_PASSWORD in its environment: start every worker with it." in done.stderr
    assert not (tmp_path / "r").exists()


def test_a_call_whose_worker_dies_is_run_again(tmp_path: Path) -> None:
    with cluster(tmp_path, 2) as started, dask_executor(started.address, 30) as executor:
        assert executor is not None
        calls = [executor.submit(die_once, str(tmp_path / "died"), number) for number in range(8)]
        assert [call.result() for call in calls] == list(range(8))
    assert (tmp_path / "died").exists()


def test_a_call_that_kills_its_workers_is_one_error(tmp_path: Path) -> None:
    no_second_try = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    with cluster(tmp_path, 1, **no_second_try) as started, dask_executor(started.address, 30) as executor:
        assert executor is not None
        call = executor.submit(die_once, str(tmp_path / "died"), 0)
        with pytest.raises(SourceError, match="died again and again over the same files"):
            call.result()


def test_the_wait_for_another_worker_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask, "_PATIENCE", 1.0)
    lines: list[str] = []

    def tell(line: str) -> None:
        lines.append(line)
        if "no worker" in line:
            running.start_worker()

    with cluster(tmp_path, 1) as running, dask_executor(running.address, 60, tell) as executor:
        assert executor is not None
        call = executor.submit(die_once, str(tmp_path / "died"), 7)  # kills the worker
        assert call.result() == 7
        assert until_empty(lambda: executor.num_workers >= 0 and len(lines) < 2, 60) is False
    first, second = lines
    assert re.match(rf"The Dask scheduler at {running.address} has had no worker for \d+ s\. ", first)
    assert first.endswith(f"start some with 'dask worker {running.address}', or press Ctrl-C.")
    assert second == f"The Dask scheduler at {running.address} has a worker again: the work goes on."


def test_a_scheduler_that_waits_for_a_set_time_is_one_error(tmp_path: Path) -> None:
    set_time = {"DASK_DISTRIBUTED__SCHEDULER__NO_WORKERS_TIMEOUT": "3s"}
    with cluster(tmp_path, 1, **set_time) as running, dask_executor(running.address, 60) as executor:
        assert executor is not None
        call = executor.submit(die_once, str(tmp_path / "died"), 7)
        with pytest.raises(StorageError, match=r"had no worker for the time that it waits \(distributed\.scheduler\."):
            call.result()


def test_a_scheduler_that_goes_away_is_one_error(tmp_path: Path) -> None:
    with cluster(tmp_path, 1) as started, dask_executor(started.address, 30) as executor:
        assert executor is not None
        call = ClusterExecutor(executor, 1, {}).submit(sleep, str(tmp_path / "begun"))
        assert until_empty(lambda: not (tmp_path / "begun").exists(), 60) is False
        threading.Timer(0.5, started.scheduler.kill).start()
        with pytest.raises(StorageError, match="went away before the work was done"):
            call.result()


def test_a_call_after_the_scheduler_went_away_is_the_same_error(tmp_path: Path) -> None:
    with cluster(tmp_path, 1) as started, dask_executor(started.address, 5) as executor:
        assert executor is not None
        assert executor.submit(abs, -1).result() == 1
        started.scheduler.kill()
        for _ in range(2):  # the connection is lost, and then it is closed
            with pytest.raises(StorageError, match="went away before the work was done"):
                executor.submit(abs, -1).result()


@pytest.mark.parametrize(
    ("address", "code", "message"),
    [
        ("nonsense", 2, "--scheduler is 'nonsense': expected tcp://HOST:PORT; missing port number"),
        ("magic://127.0.0.1:1", 2, "--scheduler is 'magic://127.0.0.1:1': expected tcp://HOST:PORT"),
        ("tcp://127.0.0.1:1", 4, "Cannot reach the Dask scheduler at tcp://127.0.0.1:1: Timed out"),
        ("tcp://[::1]:1", 4, "Cannot reach the Dask scheduler at tcp://[::1]:1: Timed out"),
        ("tls://127.0.0.1:1", 2, "--scheduler is 'tls://127.0.0.1:1': expected tcp://HOST:PORT; TLS expects"),
    ],
)
def test_an_address_without_a_scheduler_is_one_error(
    small_source: Path, tmp_path: Path, address: str, code: int, message: str
) -> None:
    where = ["--scheduler", address]
    done = run(tmp_path, "--network-timeout", 2, "ingest", "--split", "train", small_source, "r", *where)
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.startswith(f"Error: {message}")
    assert not (tmp_path / "r").exists()


def test_a_scheduler_without_workers_is_one_error(small_source: Path, tmp_path: Path) -> None:
    with cluster(tmp_path, 0) as started:
        where = ["--scheduler", started.address]
        done = run(tmp_path, "--network-timeout", 2, "ingest", "--split", "train", small_source, "r", *where)
    assert done.returncode == 4
    assert done.stderr.startswith(f"Error: The Dask scheduler at {started.address} has no worker: start some with")
