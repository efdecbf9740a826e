"""``df2 diff``: its output in every format and its exit codes."""

from __future__ import annotations

import csv
import io
import json
import shutil
import signal
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest

from registry.errors import UnknownNameError
from registry.ingest.build import ingest
from tests.cli.conftest import Run, exit_code_of_reader_that_stops
from tests.cli.test_terminal import on_terminal
from tests.helpers import SMALL_SPLIT, annotation, item, write_split
from tests.history.conftest import template
from tests.repositories import set_apart

__all__ = ["template"]

#: From the three splits to the registry below: validation and test are gone, and train is edited.
COUNTS = (
    '{"images": {"added": 1, "removed": 5, "changed": 0}, '
    '"items": {"added": 1, "removed": 3, "changed": 2}, '
    '"instance_pairs": {"added": 2, "removed": 2}}\n'
)
OF_TRAIN = (
    '{"images": {"added": 1, "removed": 1, "changed": 0}, '
    '"items": {"added": 1, "removed": 1, "changed": 2}, '
    '"instance_pairs": {"added": 2, "removed": 1}}\n'
)
NOTHING = (
    '{"images": {"added": 0, "removed": 0, "changed": 0}, '
    '"items": {"added": 0, "removed": 0, "changed": 0}, '
    '"instance_pairs": {"added": 0, "removed": 0}}\n'
)
CSV = """\
split,of,category_name,added,removed,changed
train,items,short sleeve top,1,0,1
train,items,trousers,0,0,1
train,items,sling dress,0,1,0
train,images,,1,1,0
train,items,,1,1,2
train,instance_pairs,,2,1,
"""
TABLE = """\

 split  category_name     added  removed  changed
 ────────────────────────────────────────────────
 train  short sleeve top      1        0        1
 train  trousers              0        0        1
 train  sling dress           0        1        0


 split  of              added  removed  changed
 ──────────────────────────────────────────────
 train  images              1        1        0
 train  items               1        1        2
 train  instance_pairs      2        1     NULL

Columns in which items differ: style 1, x1 1, scale 1.
"""
CHANGED = {
    "change": "changed",
    "split": "train",
    "image_id": 1,
    "item_no": 1,
    "category_name": "short sleeve top",
    "fields": ["x1", "scale"],
    "old": {"x1": 10.0, "scale": 2},
    "new": {"x1": 12.5, "scale": 1},
}


@pytest.fixture(scope="session")
def edited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry with train alone, somewhat different from that of the three splits."""
    folder = tmp_path_factory.mktemp("edited")
    split: dict[int | str, Any] = deepcopy(SMALL_SPLIT)
    split[1]["item1"] |= {"bounding_box": [12.5, 20, 110, 220], "scale": 1}
    split[4]["item1"]["style"] = 0
    split[8] = annotation([item(1, 1)], "shop", 1)
    del split[7]
    ingest("train", str(write_split(folder / "train", split)), str(folder / "registry"), jobs=1)
    return folder / "registry"


def test_json_is_the_totals_and_nothing_else(run: Run, three_splits: Path, edited: Path, tmp_path: Path) -> None:
    for options in ((), ("--format", "json")):
        result = run("diff", three_splits, edited, *options)
        assert (result.stdout, result.stderr, result.exit_code) == (COUNTS, "", 1)
    result = run("diff", three_splits, edited, "-o", tmp_path / "counts.json")
    assert (result.stdout, (tmp_path / "counts.json").read_text(), result.exit_code) == ("", COUNTS, 1)


def test_equal_registries_end_with_0(run: Run, three_splits: Path) -> None:
    result = run("diff", three_splits, three_splits)
    assert (result.stdout, result.stderr, result.exit_code) == (NOTHING, "", 0)
    result = run("diff", three_splits, three_splits, "--rows")
    assert (result.stdout, result.stderr, result.exit_code) == ("[]\n", "", 0)


def test_the_second_side_is_the_registry_of_the_global_option(run: Run, three_splits: Path, edited: Path) -> None:
    assert run("diff", edited, registry=edited).stdout == NOTHING
    assert run("diff", three_splits, registry=edited).stdout == COUNTS


def test_a_table_is_by_split_and_category(run: Run, three_splits: Path, edited: Path) -> None:
    result = run("diff", three_splits, edited, "--split", "train", "--format", "table")
    assert [line.rstrip() for line in result.stdout.splitlines()] == TABLE.splitlines()
    assert (result.stderr, result.exit_code) == ("", 1)


def test_other_formats_are_the_rows_of_the_summary(run: Run, three_splits: Path, edited: Path, tmp_path: Path) -> None:
    command = ("diff", three_splits, edited, "--split", "train")
    assert run(*command, "--format", "csv").stdout == CSV
    lines = run(*command, "--format", "jsonl").stdout.splitlines()
    assert json.loads(lines[0]) == {
        "split": "train", "of": "items", "category_name": "short sleeve top", "added": 1, "removed": 0, "changed": 1,
    }  # fmt: skip
    assert run(*command, "-o", tmp_path / "rows.csv").exit_code == 1
    assert (tmp_path / "rows.csv").read_text() == CSV
    assert run(*command, "-o", "memory://diff/rows.csv").exit_code == 1
    assert fsspec.filesystem("memory").cat("/diff/rows.csv").decode() == CSV
    assert run(*command, "-o", tmp_path / "rows.parquet").exit_code == 1
    assert pq.read_table(tmp_path / "rows.parquet").to_pylist() == [json.loads(line) for line in lines]
    assert run(*command, "-o", tmp_path / "rows.txt", "--format", "table").exit_code == 1
    assert "instance_pairs" in (tmp_path / "rows.txt").read_text()


def test_rows_are_the_items_with_old_and_new_values(run: Run, three_splits: Path, edited: Path, tmp_path: Path) -> None:
    command = ("diff", three_splits, edited, "--split", "train", "--rows")
    result = run(*command)
    assert (result.stderr, result.exit_code) == ("", 1)
    rows = json.loads(result.stdout)
    assert rows[0] == CHANGED
    assert [(row["change"], row["image_id"], row["fields"]) for row in rows[1:]] == [
        ("changed", 4, ["style"]),
        ("removed", 7, []),
        ("added", 8, []),
    ]
    assert (rows[2]["new"], rows[2]["old"]["category_name"], rows[2]["old"]["style"]) == (None, "sling dress", 3)
    assert (rows[3]["old"], len(rows[3]["new"]["landmarks"])) == (None, 75)

    records = list(csv.DictReader(io.StringIO(run(*command, "--format", "csv").stdout)))
    nested = ("fields", "old", "new")
    assert [{name: json.loads(record[name] or "null") for name in nested} for record in records] == [
        {name: row[name] for name in nested} for row in rows
    ]
    lines = run(*command, "--format", "jsonl").stdout.splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert run(*command, "-o", tmp_path / "rows.parquet").exit_code == 1
    table = pq.read_table(tmp_path / "rows.parquet")
    assert json.loads(table.column("new")[0].as_py()) == CHANGED["new"]
    assert table.select(["change", "image_id", "item_no", "fields"]).to_pylist() == [
        {name: row[name] for name in ("change", "image_id", "item_no", "fields")} for row in rows
    ]


def test_rows_of_images_and_of_pairs(run: Run, three_splits: Path, edited: Path, tmp_path: Path) -> None:
    command = ("diff", three_splits, edited, "--rows", "--of")
    images = json.loads(run(*command, "images").stdout)
    assert [(row["change"], row["split"], row["image_id"]) for row in images] == [
        ("removed", "train", 7), ("added", "train", 8), ("removed", "validation", 1), ("removed", "validation", 2),
        ("removed", "test", 1), ("removed", "test", 2),
    ]  # fmt: skip
    assert images[4]["old"] == {
        "file_name": "000001.jpg", "source": None, "pair_id": None, "width": 40, "height": 30, "num_items": None,
        "orientation": None,
    }  # fmt: skip
    assert run(*command, "instance_pairs", "--format", "csv").stdout == (
        "change,split,pair_id,style,user_image_id,user_item_no,shop_image_id,shop_item_no\n"
        "added,train,1,1,1,1,8,1\n"
        "added,train,1,1,2,2,8,1\n"
        "removed,train,1,2,1,2,4,1\n"
        "removed,validation,1,1,1,1,2,1\n"
    )
    assert (
        run("diff", edited, edited, "--rows", "--of", "instance_pairs", "-o", tmp_path / "none.parquet").exit_code == 0
    )
    assert pq.read_table(tmp_path / "none.parquet").num_rows == 0


def test_options_of_a_subset_choose_the_compared_items(
    run: Run, three_splits: Path, edited: Path, tmp_path: Path
) -> None:
    (tmp_path / "params.yaml").write_text("subsets: {trousers: {category: trousers}}")
    command = ("diff", three_splits, edited)
    counts = json.loads(run(*command, "--subset", "trousers").stdout)
    assert counts["items"] == {"added": 0, "removed": 0, "changed": 1}
    assert run(*command, "--split", "train").stdout == OF_TRAIN
    assert run(*command, "--category", "skirt").stdout == NOTHING
    assert run(*command, "--category", "skirt").exit_code == 0
    counts = json.loads(run(*command, "--paired", "--style", "2").stdout)
    assert counts["items"] == {"added": 0, "removed": 2, "changed": 0}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument 'A'."),
        (["A", "A", "A"], "Got unexpected extra argument"),
        (["A", "--of", "faces"], "Invalid value for '--of'"),
        (["A", "--resplit", "a=1"], "No such option"),
        (["A", "--category", "hat"], "Unknown category 'hat'."),
        (["A", "--where", "style +"], "The condition cannot be read"),
        (["A", "--split", "test"], "The split test is neither in"),
        (["A", "--subset", "skirts"], "There is no params.yaml"),
        (["A", "-o", "none/x.csv"], "Cannot write none/x.csv: No such file or directory"),
        (["A", "-o", "none/x.json"], "Cannot write none/x.json: No such file or directory"),
        (["A", "-o", "x.txt"], "Unknown suffix of x.txt"),
        (["none"], "There is no folder none, and no registry of this git revision"),
        (["file:///none"], "There is no registry at"),
        (["nowhere://x"], "Cannot use nowhere://x"),
        ([".", "A"], "There is no registry at ."),
        (["A", "broken"], "broken/manifest.json is not a manifest of a registry"),
    ],
)
def test_every_error_ends_with_2(run: Run, edited: Path, tmp_path: Path, arguments: list[str], message: str) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "manifest.json").write_text("{}")
    words = [edited if argument == "A" else argument for argument in arguments]
    result = run("diff", *words, registry=edited)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in result.stderr


def test_an_error_of_the_system_ends_with_2(edited: Path, three_splits: Path) -> None:
    df2 = [sys.executable, "-m", "registry.cli.main", "diff", str(edited), str(three_splits)]
    with open("/dev/full", "wb") as full:
        result = subprocess.run([*df2, "--rows"], stdout=full, stderr=subprocess.PIPE, check=False, text=True)
    assert (result.returncode, result.stderr) == (2, "Error: Cannot write standard output: No space left on device.\n")


def test_a_git_revision_is_a_side(run: Run, template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_apart(monkeypatch, tmp_path)
    for folder in ("project", "storage"):
        shutil.copytree(template / folder, tmp_path / folder)
    monkeypatch.chdir(tmp_path / "project")
    added = (
        '{"images": {"added": 2, "removed": 0, "changed": 0}, '
        '"items": {"added": 2, "removed": 0, "changed": 0}, '
        '"instance_pairs": {"added": 3, "removed": 0}}\n'
    )
    assert run("diff", "v1.0", "v2.0", registry=None).stdout == added
    assert run("diff", "v1.0", registry=None).stdout == added
    assert run("--rev", "v1.0", "diff", "v2.0", registry=None).exit_code == 1
    assert run("--rev", "v2.0", "diff", "v2.0.1", registry=None).stdout == NOTHING
    assert run("diff", "v2.0", "data/registry", registry=None).stdout == NOTHING
    result = run("diff", "v3.0", registry=None)
    assert result.exit_code == 2
    assert result.stderr.startswith("Error: There is no folder v3.0, and no registry of this git revision: ")


def test_a_folder_comes_before_a_revision(
    run: Run, edited: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def checkout(*arguments: object, **options: object) -> Path:
        raise UnknownNameError("no such revision")

    monkeypatch.setattr("registry.history.checkout.checkout", checkout)
    (tmp_path / "v1").symlink_to(edited)
    assert run("diff", "v1", edited).stdout == NOTHING
    assert run("diff", "v2", edited).stderr == (
        "Error: There is no folder v2, and no registry of this git revision: no such revision\n"
    )


def test_a_reader_that_stops_early_causes_no_traceback(tmp_path: Path, edited: Path) -> None:
    many: dict[int | str, Any] = {k: annotation([item(1, 1), item(8, 2)]) for k in range(1, 80)}
    ingest("train", str(write_split(tmp_path / "train", many)), str(tmp_path / "registry"), jobs=1)
    df2 = ("diff", str(edited), str(tmp_path / "registry"), "--rows")
    for text_format in ("json", "jsonl", "csv"):
        assert exit_code_of_reader_that_stops(*df2, "--format", text_format) in (1, -signal.SIGPIPE)


def test_a_terminal_shows_tables(three_splits: Path) -> None:
    lines = on_terminal(three_splits, "diff", str(three_splits), columns=80)
    assert lines[1].split() == ["split", "of", "added", "removed", "changed"]
    assert [line.split() for line in lines[3:6]] == [
        ["train", "images", "0", "0", "0"],
        ["train", "items", "0", "0", "0"],
        ["train", "instance_pairs", "0", "0", "NULL"],
    ]


def test_a_terminal_shows_the_rows_as_a_table(three_splits: Path, edited: Path) -> None:
    lines = on_terminal(three_splits, "diff", str(edited), "--rows", columns=80, code=1)
    assert lines[1].split()[:5] == ["change", "split", "image_id", "item_no", "category_name"]
    assert ["removed", "train", "8"] in [line.split()[:3] for line in lines]
