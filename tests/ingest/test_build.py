"""Bad files under each policy, and equal bytes from equal input."""

from __future__ import annotations

import json
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

import registry
from registry.cli.main import main
from registry.errors import AnnotationError, UnknownNameError
from registry.ingest.build import ingest
from tests.helpers import SMALL_SPLIT, annotation, item, jpeg, landmarks, to_bytes, write_split
from tests.sources.packing import files_in

BAD_ITEM = annotation([item(), item(landmarks=landmarks(1)[:-1])])


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Return a folder with valid files and with files that are bad in different ways."""
    bad = {8: b"", 9: BAD_ITEM, 10: b'{"source": "\xff"}', 11: annotation(pair_id=2**31) | {"source": "x"}}
    return write_split(tmp_path / "mixed" / "train", SMALL_SPLIT | bad)


MIXED_ISSUES = [
    "train/annos/000008.json: the file is empty; expected one JSON object",
    "train/annos/000009.json > item2 > landmarks: expected 75 numbers for category 1 (short sleeve top), found 74",
    "train/annos/000010.json: expected UTF-8 text, found byte 0xff at byte 12",
    "train/annos/000011.json > pair_id: expected an integer from 0 to 2147483647, found 2147483648",
    'train/annos/000011.json > source: expected user or shop, found "x"',
]


def test_on_error_fail_reports_all_issues_and_changes_nothing(mixed: Path, small_registry: Path) -> None:
    before = files_in(small_registry)
    with pytest.raises(AnnotationError) as caught:
        ingest("train", str(mixed), str(small_registry))
    assert str(caught.value).splitlines() == [
        "train was not ingested, the registry is as it was: 5 issues:",
        *(f"  {line}" for line in MIXED_ISSUES),
        "Mend or remove these files, or ingest the others with --on-error quarantine.",
    ]
    assert caught.value.exit_code == 3
    assert files_in(small_registry) == before


def test_on_error_fail_creates_no_new_registry(mixed: Path, tmp_path: Path) -> None:
    with pytest.raises(AnnotationError):
        ingest("train", str(mixed), str(tmp_path / "new"))
    assert not (tmp_path / "new").exists()


def test_on_error_quarantine_ingests_good_files_and_keeps_the_bytes_of_bad_files(
    mixed: Path, small_registry: Path, tmp_path: Path
) -> None:
    report = ingest("train", str(mixed), str(tmp_path / "r"), on_error="quarantine")
    assert [str(issue) for issue in report.issues] == MIXED_ISSUES
    df2 = registry.open(str(tmp_path / "r"))
    assert df2.sql("SELECT split, file, issues, raw FROM quarantine ORDER BY file").fetchall() == [
        ("train", "train/annos/000008.json", MIXED_ISSUES[:1], b""),
        ("train", "train/annos/000009.json", MIXED_ISSUES[1:2], to_bytes(BAD_ITEM)),
        ("train", "train/annos/000010.json", MIXED_ISSUES[2:3], b'{"source": "\xff"}'),
        ("train", "train/annos/000011.json", MIXED_ISSUES[3:], (mixed / "annos" / "000011.json").read_bytes()),
    ]
    for table in ("images", "items"):
        query = f"SELECT * FROM {table} ORDER BY ALL"
        assert df2.sql(query).fetchall() == registry.open(str(small_registry)).sql(query).fetchall()


def test_the_quarantine_is_empty_after_the_files_are_repaired(mixed: Path, small_source: Path, tmp_path: Path) -> None:
    ingest("train", str(small_source), str(tmp_path / "clean"))
    ingest("train", str(mixed), str(tmp_path / "r"), on_error="quarantine")
    ingest("train", str(small_source), str(tmp_path / "r"))
    assert files_in(tmp_path / "r") == files_in(tmp_path / "clean")


def test_the_command_shows_twenty_issues_writes_all_to_a_file_and_exits_with_3(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_split(tmp_path / "train", dict.fromkeys(range(1, 26), b"") | {99: annotation()})
    lines = [f"train/annos/{k:06d}.json: the file is empty; expected one JSON object" for k in range(1, 26)]
    mark = "# df2 ingest: issues of train"
    command = ["ingest", "train", "r", "--split", "train", "--no-image-sizes"]
    failed = CliRunner().invoke(main, command)
    assert failed.exit_code == 3
    assert [line.strip() for line in failed.stderr.splitlines() if ".json:" in line] == lines[:20]
    assert "  ... and 5 more" in failed.stderr
    assert (tmp_path / "df2-issues-train.txt").read_text() == "\n".join([mark, *lines]) + "\n"
    assert not (tmp_path / "r").exists()
    done = CliRunner().invoke(main, [*command, "--on-error", "quarantine"])
    assert done.exit_code == 0
    assert (tmp_path / "df2-issues-train.txt").read_text() == "\n".join([mark, *lines]) + "\n"
    assert registry.open("r").sql("SELECT count(*) FROM quarantine").fetchall() == [(25,)]


def test_the_issues_file_of_an_earlier_run_is_removed(small_source: Path, tmp_path: Path) -> None:
    issues = tmp_path / "issues.txt"
    issues.write_text("# df2 ingest: issues of train\nold\n")
    arguments = ["ingest", str(small_source), str(tmp_path / "r"), "--split", "train", "--issues", str(issues)]
    assert CliRunner().invoke(main, [*arguments, "--no-image-sizes"]).exit_code == 0
    assert not issues.exists()


def test_an_unknown_split_is_refused(small_source: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'train'"):
        ingest("trian", str(small_source), str(tmp_path / "r"))


def test_ingesting_a_split_replaces_it_and_keeps_the_others(small_registry: Path, tmp_path: Path) -> None:
    before = files_in(small_registry)
    other = write_split(tmp_path / "validation", {1: annotation([item(7)], "shop")})
    ingest("validation", str(other), str(small_registry))
    both = files_in(small_registry)
    assert {name: data for name, data in both.items() if "split=train" in name} == {
        name: data for name, data in before.items() if "split=train" in name
    }
    assert registry.open(str(small_registry)).manifest.splits == ["train", "validation"]
    write_split(other, {1: annotation([item(8)], "shop")})
    ingest("validation", str(other), str(small_registry))
    rows = registry.open(str(small_registry)).sql("SELECT split, category_id FROM items WHERE split != 'train'")
    assert rows.fetchall() == [("validation", 8)]
    manifest_files = {file.path for file in registry.open(str(small_registry)).manifest.files}
    assert set(files_in(small_registry)) == manifest_files | {"manifest.json"}


def test_the_order_of_ingesting_splits_does_not_matter(tmp_path: Path, small_source: Path) -> None:
    other = write_split(tmp_path / "validation", {1: annotation()})
    for name, splits in (("a", ["train", "validation"]), ("b", ["validation", "train", "train"])):
        for split in splits:
            ingest(split, str({"train": small_source, "validation": other}[split]), str(tmp_path / name))
    assert files_in(tmp_path / "a") == files_in(tmp_path / "b")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with enough files for several processes and chunks; some are bad."""
    chance = random.Random(0)
    documents: dict[int | str, Any] = {}
    for image_id in chance.sample(range(1, 100_000), 2600):
        items = [item(chance.randint(1, 13), chance.randint(0, 3)) for _ in range(chance.randint(1, 2))]
        documents[image_id] = annotation(items, chance.choice(["user", "shop"]), chance.randint(1, 500))
    for image_id in chance.sample(sorted(documents, key=str), 5):
        documents[image_id] = b"{}"
    documents["notes.txt"] = b""
    photos = {image_id: jpeg() for image_id in list(documents)[:1500] if isinstance(image_id, int)}
    return write_split(tmp_path_factory.mktemp("many") / "train", documents, photos)


def test_any_number_of_processes_gives_the_same_bytes(many: Path, tmp_path: Path) -> None:
    reports = [
        ingest("train", str(many), str(tmp_path / f"{jobs}"), jobs=jobs, on_error="quarantine") for jobs in (1, 2, 3)
    ]
    assert len(reports[0].bad_files) == 5
    for jobs, report in zip((2, 3), reports[1:], strict=True):
        assert report == reports[0]
        assert files_in(tmp_path / f"{jobs}") == files_in(tmp_path / "1")


class Counting(ThreadPoolExecutor):
    """Threads that count their calls."""

    num_calls = 0

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        self.num_calls += 1
        return super().submit(*args, **kwargs)


@pytest.mark.parametrize(("calls_per_worker", "num_calls"), [(4, 6), (1, 3)])
def test_calls_of_several_chunks_give_the_same_bytes(
    many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, calls_per_worker: int, num_calls: int
) -> None:
    monkeypatch.setattr("registry.ingest.build._CALLS_PER_WORKER", calls_per_worker)
    with Counting(2) as pool:
        ingest("train", str(many), str(tmp_path / "pool"), executor=pool, jobs=2, on_error="quarantine")
    ingest("train", str(many), str(tmp_path / "1"), jobs=1, on_error="quarantine")
    assert files_in(tmp_path / "pool") == files_in(tmp_path / "1")
    assert pool.num_calls == num_calls


def test_progress_is_reported_up_to_the_last_file(many: Path, tmp_path: Path) -> None:
    reported: list[tuple[int, int]] = []
    ingest(
        "train", str(many), str(tmp_path / "r"), jobs=2, on_error="quarantine", image_sizes=False,
        progress=lambda done, total: reported.append((done, total)),
    )  # fmt: skip
    assert reported == [(done, 2600) for done in (512, 1024, 1536, 2048, 2560, 2600)]


def test_rows_are_in_their_declared_order(many: Path, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    from registry.dataset.tables import TABLES

    ingest("train", str(many), str(tmp_path / "r"), jobs=2, on_error="quarantine", image_sizes=False)
    manifest = registry.open(str(tmp_path / "r")).manifest
    for file in manifest.files:
        order = TABLES[file.table].order
        rows = pq.ParquetFile(tmp_path / "r" / file.path).read(columns=list(order)).to_pylist()
        keys = [tuple(row[name] for name in order) for row in rows]
        assert keys == sorted(keys)
        assert len(keys) == file.rows


def test_the_manifest_describes_every_file(small_registry: Path) -> None:
    import hashlib

    document = json.loads((small_registry / "manifest.json").read_bytes())
    assert list(document) == ["schema_version", "sources", "files"]
    assert [entry["path"] for entry in document["files"]] == sorted(entry["path"] for entry in document["files"])
    for entry in document["files"]:
        data = (small_registry / entry["path"]).read_bytes()
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        assert entry["bytes"] == len(data)
        assert Path(entry["path"]).stem == entry["sha256"][:16]


def test_the_source_digest_changes_only_with_the_content(small_source: Path, tmp_path: Path) -> None:
    def source() -> str:
        ingest("train", str(small_source), str(tmp_path / "r"))
        return registry.open(str(tmp_path / "r")).manifest.sources["train"]

    first = source()
    (small_source / "annos" / "000001.json").touch()
    assert source() == first
    write_split(small_source, {1: annotation()})
    changed = source()
    assert changed != first
    (small_source / "annos" / "000002.json").unlink()
    assert source() not in (first, changed)


@pytest.mark.parametrize("jobs", [1, 2])
def test_ingest_as_a_library_keeps_the_settings_of_the_process(jobs: int, many: Path, tmp_path: Path) -> None:
    import gc

    import pyarrow as pa

    def settings() -> tuple[bool, str]:
        return gc.isenabled(), pa.default_memory_pool().backend_name

    before = settings()
    during: set[tuple[bool, str]] = set()
    ingest(
        "train", str(many), str(tmp_path / "r"), jobs=jobs, on_error="quarantine", image_sizes=False,
        progress=lambda *_: during.add(settings()),
    )  # fmt: skip
    assert during == {before}
    assert settings() == before


def test_the_command_saves_memory_and_restores_the_settings(
    small_source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gc

    import pyarrow as pa

    from registry.ingest import build

    seen = []
    read_chunk = build.read_chunk

    def watch(*args: Any) -> Any:
        seen.append((gc.isenabled(), pa.default_memory_pool().backend_name))
        return read_chunk(*args)

    monkeypatch.setattr(build, "read_chunk", watch)
    before = gc.isenabled(), pa.default_memory_pool().backend_name
    arguments = ["ingest", str(small_source), str(tmp_path / "r"), "--split", "train", "-j", "1"]
    arguments += ["--issues", str(tmp_path / "issues.txt")]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert seen == [(False, "system")]
    assert (gc.isenabled(), pa.default_memory_pool().backend_name) == before
