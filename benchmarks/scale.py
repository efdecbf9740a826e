"""Benchmark of how cost grows with the data, as ratios between releases of several sizes.

Writes synthetic releases (:mod:`benchmarks.corpus`) as tars, ingests each, puts its registry into a bucket of SeaweedFS
and makes a second registry with a single corrected item. Then measures in turn, so that other work of the machine
affects all sizes: ingestion; look-ups in an opened registry and as commands, from the folder and from the bucket;
counts, checks, exports, differences and copies; DVC with nothing changed. ``--dask`` also ingests the smallest one on
Dask clusters. Everything that was written is removed.

Run as ``python -m benchmarks.scale [--dest DIR] [--scales 1 4] [--runs 3] [--dask]``. A size of 1 needs 0.6 GB.
"""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import platform
import random
import shlex
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import yaml

import registry
from benchmarks.corpus import SPLITS, annotations
from benchmarks.ingest import DF2, run
from benchmarks.remote import output
from registry.snapshot.manifest import MANIFEST_NAME
from tests.execution.dask_cluster import cluster
from tests.servers.processes import is_setting
from tests.servers.proxy import S3Proxy
from tests.servers.seaweedfs import run_seaweedfs

ROOT = Path(__file__).parents[1]
DVC = str(Path(DF2).with_name("dvc"))
#: Look-ups in a run.
LOOKUPS = 30
#: The pair_ids of train that are exported at every size: some 1,300 images.
EXPORTED = 100
GIT = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}

#: Measure -> size of the release -> a value of each run.
Values = dict[str, dict[float, list[float]]]


@dataclass(frozen=True)
class Release:
    """A release and its registries.

    Attributes:
        scale: share of the full size.
        project: a git repository with the pipeline; holds the registry and the tars.
        changed: the registry with a corrected item.
        url: the registry in the bucket.
    """

    scale: float
    project: Path
    changed: Path
    url: str

    @property
    def registry(self) -> Path:
        """The registry."""
        return self.project / "data" / "registry"

    def archive(self, split: str) -> Path:
        """Return the tar of a split."""
        return self.project / f"{split}.tar"


def write_archives(release: Release) -> None:
    """Write the annotations of a release."""
    for split in SPLITS:
        with tarfile.open(release.archive(split), "w") as archive:
            for name, data in annotations(split, 0, release.scale):
                member = tarfile.TarInfo(f"{split}/annos/{name}")
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))


def copy_pipeline(release: Release) -> None:
    """Create a repository with the committed pipeline for a release."""
    for name in ("registry", "schemas", "checks", "tables"):
        shutil.copytree(ROOT / name, release.project / name, ignore=shutil.ignore_patterns("__pycache__"))
    (release.project / ".dvc").mkdir()
    (release.project / "corrections").mkdir()
    for name in (".dvc/config", ".dvc/.gitignore", ".dvcignore", ".gitignore", "dvc.yaml"):
        shutil.copy(ROOT / name, release.project / name)
    with open(release.project / ".gitignore", "a", encoding="utf-8") as file:
        file.write("*.tar\n")
    params = yaml.safe_load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    params["splits"] = {split: {"source": f"{split}.tar"} for split in SPLITS}
    params["sample"]["images"] = 6
    (release.project / "params.yaml").write_text(yaml.safe_dump(params), encoding="utf-8")


def commit_registry(release: Release) -> None:
    """Let DVC and git know the registry as the output of its pipeline, up to its counts."""

    def call(*command: str) -> None:
        environment = {**os.environ, **GIT, "PATH": f"{Path(DF2).parent}:{os.environ['PATH']}"}
        subprocess.run(command, cwd=release.project, env=environment, check=True, stdout=subprocess.DEVNULL)

    call("git", "init", "-q")
    call(DVC, "repro", "-q", *(f"fingerprint@{split}" for split in SPLITS))
    stages = [f"{stage}@{split}" for stage in ("ingest", "photos") for split in SPLITS]
    call(DVC, "commit", "-fq", *stages, "manifest")
    call(DVC, "repro", "-q", "stats")
    call("git", "add", ".")
    call("git", "commit", "-qm", "first")


def correct_item(release: Release) -> None:
    """Make the changed registry: another viewpoint of an item of validation."""
    shutil.copytree(release.registry, release.changed)
    query = (
        "SELECT image_id, item_no, viewpoint AS old, viewpoint % 3 + 1 AS new FROM items WHERE split = 'validation' "
        "AND image_id = (SELECT min(image_id) FROM images WHERE split = 'validation') LIMIT 1"
    )
    [row] = json.loads(output([DF2, "-r", str(release.registry), "sql", query]))
    folder = release.project / "one-correction"
    folder.mkdir()
    line = {"split": "validation", "field": "viewpoint", "who": "a", "why": "b", **row}
    (folder / "validation.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")
    source = ["--corrections", str(folder), str(release.archive("validation"))]
    output([DF2, "ingest", "--split", "validation", *source, str(release.changed)])


def prepare(release: Release, values: Values) -> None:
    """Make the registries of a release, and measure their sizes."""
    release.project.mkdir(parents=True)
    write_archives(release)
    copy_pipeline(release)
    for split in SPLITS:
        run([DF2, "ingest", "--split", split, str(release.archive(split)), str(release.registry)])
    files = list(release.registry.rglob("*.parquet"))
    for name, value in {
        "tar files, MB": sum(release.archive(split).stat().st_size for split in SPLITS) / 1e6,
        "files of the registry": len(files),
        "registry, MB": sum(path.stat().st_size for path in files) / 1e6,
        "manifest, kB": (release.registry / MANIFEST_NAME).stat().st_size / 1e3,
    }.items():
        values[name][release.scale].append(value)
    correct_item(release)
    commit_registry(release)
    output([DF2, "sync", str(release.registry), release.url])
    output([DF2, "sync", str(release.registry), f"{release.url}-copy"])


def median_ms(query: Callable[[int], object], numbers: list[int]) -> float:
    """Return the median time of a look-up; the first of them are not counted."""
    seconds = []
    for number in numbers:
        start = time.perf_counter()
        query(number)
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds[3:])


def measure_lookups(release: Release, place: str, suffix: str, seed: int, values: Values) -> None:
    """Measure look-ups in an opened registry."""
    opened = registry.open(place)
    rng = random.Random(seed)
    bounds = opened.sql("SELECT max(image_id), max(pair_id) FROM images WHERE split = 'train'").fetchall()
    images, pair_ids = ([rng.randint(1, last) for _ in range(LOOKUPS)] for last in bounds[0])
    columns = "image_id, item_no, source, style, category_name"
    of_pair_id = f"SELECT {columns} FROM items WHERE split = 'train' AND pair_id = $n"
    count = "SELECT count(*) FROM instance_pairs"
    for name, query, numbers in (
        ("items of an image, ms", lambda n: opened.image("train", n).fetchall(), images),
        ("items of a pair_id, ms", lambda n: opened.sql(of_pair_id, {"n": n}).fetchall(), pair_ids),
        ("pairs of a pair_id, ms", lambda n: opened.pairs("train", n).fetchall(), pair_ids),
        ("count of all pairs, ms", lambda _: opened.sql(count).fetchall(), [0] * 6),
    ):
        values[name + suffix][release.scale].append(median_ms(query, numbers))  # type: ignore[arg-type]


def commands(release: Release, folder: Path, number: int) -> dict[str, list[str]]:
    """Return the commands that are timed, by name."""
    on_folder, on_bucket = ([DF2, "-r", place] for place in (str(release.registry), release.url))
    pairs = ["pairs", "--split", "train", "--pair-id", str(17 + number)]
    in_project = ["env", "-C", str(release.project), f"PATH={Path(DF2).parent}:{os.environ['PATH']}"]
    diff = shlex.join([DF2, "diff", str(release.registry), str(release.changed)])
    subset = ["--split", "train", "--where", f"pair_id <= {EXPORTED}"]
    back_and_forth = [release.changed, release.registry]
    ingest = [DF2, "ingest", "--split", "train", str(release.archive("train")), str(folder / "ingested")]
    return {
        "df2 ingest --split train, s": ingest,
        "df2 pairs, s": [*on_folder, *pairs],
        "df2 pairs, bucket, s": [*on_bucket, *pairs],
        "df2 stats, s": [*on_folder, "stats"],
        "df2 subset --category skirt, s": [*on_folder, "subset", "--category", "skirt"],
        f"df2 export coco, {EXPORTED} pair_ids, s": [*on_folder, "export", "coco", str(folder / "coco"), *subset],
        # The same limit in all sizes: DuckDB keeps the blocks that it reads up to its limit.
        "df2 check --memory 1GB, s": [*on_folder, "check", "--memory", "1GB"],
        "df2 diff, an item changed, s": ["sh", "-c", f"{diff} || test $? = 1"],
        "df2 sync to a bucket, an item changed, s": [
            *[DF2, "sync", "--prune", str(back_and_forth[number % 2]), f"{release.url}-copy"]
        ],
        "df2 versions, s": [*in_project, DF2, "versions"],
        "dvc repro, nothing changed, s": [*in_project, DVC, "repro", "-q", "stats"],
    }


def measure(release: Release, folder: Path, number: int, proxy: S3Proxy, values: Values) -> None:
    """Measure a release once."""
    measure_lookups(release, str(release.registry), "", number, values)
    measure_lookups(release, release.url, ", bucket", number, values)
    for name, command in commands(release, folder, number).items():
        for made in ("coco", "ingested"):
            shutil.rmtree(folder / made, ignore_errors=True)
        proxy.reset()
        seconds, peak = run(command)
        values[name][release.scale].append(seconds)
        short = name.removesuffix(", s")
        values[f"{short}, largest process, MiB"][release.scale].append(peak)
        print(f"{release.scale:g}x {short}: {seconds:.2f} s, {peak:.0f} MiB", file=sys.stderr, flush=True)
        if proxy.requests:
            total = sum(request.received_bytes + request.sent_bytes for request in proxy.requests)
            values[f"{short}, requests"][release.scale].append(len(proxy.requests))
            values[f"{short}, MB"][release.scale].append(total / 1e6)


def report(scales: list[float], values: Values) -> None:
    """Print the medians of all runs, and how often the last is the first."""
    print("| | " + " | ".join(f"{scale:g}x" for scale in scales) + " | ratio |")
    print("|---|" + "---|" * (len(scales) + 1))
    for name, by_scale in values.items():
        medians = [statistics.median(by_scale[scale]) for scale in scales]
        listed = " | ".join(f"{value:.2f}" if value < 10 else f"{value:,.0f}" for value in medians)
        print(f"| {name} | {listed} | {medians[-1] / medians[0]:.2f} |")


def report_dask(release: Release, folder: Path, runs: int) -> None:
    """Print the time of ingesting train on clusters of this machine, against processes without a cluster."""
    print("\n| workers | processes, s | Dask, s | ratio |\n|---|---|---|---|")
    for workers in (1, 2):
        # As docs/how-to/scaling.md recommends: sampling takes an eighth of the time.
        with cluster(folder, workers, DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED="False") as dask:
            seconds = defaultdict(list)
            for _, (name, options) in itertools.product(
                range(runs), {"local": ["--jobs", str(workers)], "dask": ["--scheduler", dask.address]}.items()
            ):
                target = str(folder / name)
                source = str(release.archive("train"))
                seconds[name].append(run([DF2, "ingest", "--split", "train", *options, source, target])[0])
        local, on_dask = (statistics.median(seconds[name]) for name in ("local", "dask"))
        print(f"| {workers} | {local:.2f} | {on_dask:.2f} | {on_dask / local:.2f} |", flush=True)


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dest", type=Path, help="folder for temporary files; default: that of the system")
    parser.add_argument("--scales", type=float, nargs="+", default=[1.0, 4.0], help="shares of the full size")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--dask", action="store_true", help="also ingest on Dask clusters of this machine")
    options = parser.parse_args()
    for name in filter(is_setting, list(os.environ)):
        del os.environ[name]
    os.environ["DVC_NO_ANALYTICS"] = "1"
    values: Values = defaultdict(lambda: defaultdict(list))
    with (
        tempfile.TemporaryDirectory(prefix="scale-", dir=options.dest) as temporary,
        run_seaweedfs(Path(temporary).absolute() / "server") as server,
        S3Proxy(server.endpoint_url) as proxy,
    ):
        folder = Path(temporary).absolute()
        os.chdir(folder)  # ingestion writes its notices here
        bucket = server.make_bucket("scale")
        os.environ.update(proxy.through(server).environment)
        releases = [
            Release(scale, folder / f"{scale:g}", folder / f"{scale:g}-changed", f"{bucket}/{scale:g}")
            for scale in options.scales
        ]
        for release in releases:
            prepare(release, values)
            print(f"{release.scale:g}x is ready; load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
        for number in range(options.runs):
            for release in releases:
                measure(release, folder, number, proxy, values)
        print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}; ", end="")
        print(f"load {os.getloadavg()[0]:.1f}\n")
        report(options.scales, values)
        if options.dask:
            report_dask(releases[0], folder, options.runs)
    return 0


if __name__ == "__main__":
    sys.exit(main())
