"""The commands ``df2 subset``, ``df2 export`` and ``df2 verify``."""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import registry
from registry.cli.export import export_command
from registry.exports.builtin import FORMATS
from tests.cli.conftest import Run
from tests.helpers import annotation, item, jpeg, write_split
from tests.sources.packing import files_in

TRAIN_CSV = "data/train-00000-of-00001.csv"
SUBSET = """\

 part        category_name     user_items  shop_items  items  images
 ───────────────────────────────────────────────────────────────────
 train       short sleeve top           1           1      2       2
 train       skirt                      1           0      1       1
 validation  shorts                     1           1      2       2


 part        images  items  identities  instance_pairs  image_pairs  user_items  shop_items
 ──────────────────────────────────────────────────────────────────────────────────────────
 train            3      3           1               2            2           2           1
 validation       2      2           1               1            1           1           1

"""


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]


def test_subset_prints_tables_of_categories_and_parts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    shown = run("subset", "--category", "1", "--category", "skirt", "--category", "shorts", "--format", "table")
    assert shown.exit_code == 0
    assert lines(shown.stdout) == SUBSET.splitlines()
    digest, _, text = shown.stderr.removeprefix("Subset ").partition(": ")
    assert json.loads(text) == {"category": ["short sleeve top", "shorts", "skirt"]}
    assert len(digest) == 16


def test_subset_prints_every_count_as_json(run: Run) -> None:
    rows = json.loads(run("subset", "--split", "train", "--paired").stdout)
    assert rows[-1] == {
        "part": "train",
        "category_name": None,
        "user_items": 3,
        "shop_items": 3,
        "items": 6,
        "images": 4,
        "identities": 2,
        "instance_pairs": 5,
        "image_pairs": 4,
    }
    assert run("subset", "--split", "train", "--category", "sling").stdout.count("\n") == 1


def test_subset_shows_the_balance_of_a_new_division(run: Run) -> None:
    shown = run("subset", "--resplit", "fit=0.5,held=0.5", "--stratify", "category", "--format", "table")
    assert shown.exit_code == 0, shown.stderr
    assert "worst" in shown.stdout
    rows = json.loads(run("subset", "--resplit", "fit=0.5,held=0.5").stdout)
    whole = [row for row in rows if row["category_name"] is None]
    assert sum(row["images"] for row in whole) == 7
    assert "2 photos of test have no annotation and are in no part" in shown.stderr
    assert sum(row["images_share"] for row in whole) == pytest.approx(1)
    assert {row["fraction"] for row in whole} == {0.5}


@pytest.mark.parametrize(
    ("options", "code", "text"),
    [
        (["--category", "hat"], 2, "Unknown category 'hat'"),
        (["--where", "style > (SELECT 1)"], 2, "subquery"),
        (["--where", "hat > 1"], 2, "hat"),
        (["--split", "val"], 2, "Unknown split 'val'"),
        (["--stratify", "category"], 2, "--stratify balances the parts of --resplit"),
        (["--resplit", "a=0.5"], 2, "sum to 0.5: expected 1"),
        (["--subset", "easy"], 1, "There is no params.yaml"),
        (["--image-id", "@none.txt"], 1, "there is no file none.txt"),
    ],
)
def test_subset_refuses_wrong_options_with_a_message(run: Run, options: list[str], code: int, text: str) -> None:
    result = run("subset", *options)
    assert result.exit_code == code
    assert text in result.stderr


def test_options_add_to_a_named_subset_and_replace_its_options(run: Run, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("subsets:\n  tops:\n    category: [1, 2]\n    whole-images: true\n")
    by_name = run("subset", "--subset", "tops", "--split", "train")
    by_options = run("subset", "--category", "1", "--category", "2", "--whole-images", "--split", "train")
    assert (by_name.stdout, by_name.stderr) == (by_options.stdout, by_options.stderr)
    other = run("subset", "--subset", "tops", "--category", "skirt")
    assert '"category": ["skirt"]' in other.stderr


def test_an_export_is_verified_and_made_again_from_its_manifest(run: Run, tmp_path: Path) -> None:
    result = run("export", "coco", "out", "--attributes", "--split", "train", "--category", "skirt")
    assert result.exit_code == 0, result.stderr
    size = sum(len(data) for path, data in files_in(tmp_path / "out").items() if path != "export.json")
    assert result.stdout == f"out: coco, train 1 image, 1 item; 1 file, {size / 1e3:.3g} kB.\n"
    assert result.stderr == (
        "note: 1 size of images is not known, so width and height are null: ingest with the photos to have them\n"
        "note: 1 image is without its photo in this export: --images copy --photos RELEASE copies them into it\n"
        "next: python -c \"from pycocotools.coco import COCO; COCO('out/annotations/train.json')\"\n"
    )
    assert run("verify", "out").stdout == "out: coco, the file is as it was written.\n"
    for source in ("out/export.json", "out", tmp_path / "out"):
        again = run("export", "--from-manifest", source, "again", "--overwrite")
        assert again.exit_code == 0, again.stderr
        assert again.stdout.endswith("1 file with the same bytes as before.\n")
        assert files_in(tmp_path / "again") == files_in(tmp_path / "out")


def test_quiet_export_prints_its_answer_alone(run: Run) -> None:
    result = run("--quiet", "export", "coco", "out", "--split", "train")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("out: coco, train 5 images, 8 items; 1 file, ")


def test_export_names_the_option_that_brings_photos_if_none_came_along(run: Run, tmp_path: Path) -> None:
    photos = "5 images are without their photos in this export: --images copy --photos RELEASE copies them into it"
    assert photos in run("export", "coco", "none", "--split", "train").stderr
    assert photos in run("export", "pairs", "reference", "--split", "train").stderr
    assert photos not in run("export", "csv", "csv", "--split", "train").stderr  # it names no photos
    write_split(tmp_path / "raw" / "train", {}, {image_id: jpeg() for image_id in (1, 2, 3, 4, 7)})
    result = run("export", "pairs", "copy", "--split", "train", "--images", "copy", "--photos", "raw")
    assert result.exit_code == 0, result.stderr
    assert photos not in result.stderr


@pytest.mark.parametrize(("task", "model"), [("detect", "yolo11n.pt"), ("pose", "yolo11n-pose.pt")])
def test_export_with_photos_ends_with_the_line_that_trains(run: Run, tmp_path: Path, task: str, model: str) -> None:
    write_split(tmp_path / "raw" / "train", {1: annotation()}, {1: jpeg()})
    assert run("ingest", "raw", "registry", "--split", "train", "-j", 1).exit_code == 0
    result = run("export", "yolo", "out", "--task", task, "--images", "copy", "--photos", "raw", registry="registry")
    assert result.exit_code == 0, result.stderr
    assert result.stderr.endswith(f"next: yolo train data=out/data.yaml model={model}\n")
    without = run("export", "yolo", "without", "--task", task, registry="registry")
    assert without.stderr.splitlines()[-2:] == [
        "note: 1 image is without its photo in this export, and yolo is read by its photos: "
        "--images copy --photos RELEASE copies them into it",
        "next: the same command with --images copy --photos RELEASE --overwrite",
    ]
    as_printed = ("--images", "copy", "--photos", "raw", "--overwrite")
    again = run("export", "yolo", "without", "--task", task, *as_printed, registry="registry")
    assert again.exit_code == 0, again.stderr
    assert again.stderr.endswith(f"next: yolo train data=without/data.yaml model={model}\n")
    assert "next:" not in run("export", "csv", "a name with blanks").stderr


@pytest.mark.parametrize(
    "name",
    [
        *("coco", "coco-per-category", "retrieval", "metric-learning", "pairs", "huggingface", "webdataset"),
    ],
)
def test_the_line_that_loads_an_export_runs(run: Run, tmp_path: Path, name: str) -> None:
    images = ("--images", "none") if name in ("huggingface", "webdataset") else ()
    result = run("export", name, "out", "--split", "train", "--split", "validation", *images)
    assert result.exit_code == 0, result.stderr
    line = result.stderr.splitlines()[-1].removeprefix("next: ")
    python, *arguments = shlex.split(line)
    assert python == "python"
    if name in ("huggingface", "webdataset"):
        pytest.importorskip("datasets" if name == "huggingface" else name)
    subprocess.run([sys.executable, *arguments], cwd=tmp_path, check=True, capture_output=True)


def test_the_line_that_loads_an_export_names_no_photo(run: Run, tmp_path: Path) -> None:
    write_split(tmp_path / "raw" / "train", {1: annotation([item(1, 1)])}, {1: jpeg()})
    assert run("ingest", "raw", "registry", "--split", "train", "-j", 1).exit_code == 0
    photos = ("--images", "copy", "--photos", "raw")
    line = run("export", "metric-learning", "out", *photos, registry="registry").stderr.splitlines()[-1]
    assert line == "next: python -c \"import duckdb; duckdb.read_csv('out/metric_learning.csv').show()\""


@pytest.mark.parametrize("name", ["parquet", "arrow", "csv", "jsonl"])
def test_the_line_that_loads_rows_runs(run: Run, tmp_path: Path, name: str) -> None:
    line = run("export", name, "out").stderr.splitlines()[-1].removeprefix("next: ")
    subprocess.run([sys.executable, *shlex.split(line)[1:]], cwd=tmp_path, check=True, capture_output=True)


def test_help_imports_no_module_of_a_format() -> None:
    code = (
        "import sys\nfrom registry.cli.main import main\n"
        "for words in (['export', '--help'], ['export', 'coco', '--help'], ['export', 'crops', '--help']):\n"
        "    try:\n        main(words)\n    except SystemExit:\n        pass\n"
        "    print([name for name in sys.modules if name.startswith('registry.exports.formats')], file=sys.stderr)"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stderr == "[]\n" * 3
    assert shown.stdout.count("Usage: ") == 3


def test_verify_lists_problems_in_a_format(run: Run, tmp_path: Path) -> None:
    run("export", "csv", "out")
    whole = run("verify", "out", "--format", "csv")
    assert (whole.exit_code, whole.stdout) == (0, "problem,path\n")
    assert whole.stderr == "out: csv, all 2 files are as they were written.\n"
    (tmp_path / "out" / TRAIN_CSV).unlink()
    listed = run("verify", "out", "--format", "json")
    assert (listed.exit_code, json.loads(listed.stdout)) == (1, [{"problem": "missing", "path": TRAIN_CSV}])
    assert run("verify", "out", "-o", "problems.parquet").exit_code == 1
    assert (tmp_path / "problems.parquet").exists()


def test_verify_lists_changed_files_and_files_without_a_manifest_entry(run: Run, tmp_path: Path) -> None:
    run("export", "csv", "out")
    (tmp_path / "out" / TRAIN_CSV).write_bytes(b"")
    (tmp_path / "out" / "notes.txt").write_bytes(b"")
    result = run("verify", "out")
    assert result.exit_code == 1
    assert result.stderr == f"changed: {TRAIN_CSV}\nnot named: notes.txt\nout: 0 files missing, 1 changed, of 2.\n"
    missing = run("verify", "nothing")
    assert (missing.exit_code, missing.stdout) == (1, "")
    assert "There is no export and no registry at nothing: expected export.json or manifest.json" in missing.stderr


def test_verify_checks_a_registry(run: Run, three_splits: Path, tmp_path: Path) -> None:
    shutil.copytree(three_splits, tmp_path / "copy")
    whole = run("verify", "copy")
    num_files = len(registry.open("copy").manifest.files)
    assert whole.stdout == f"copy: registry, all {num_files} files are as they were written.\n"
    gone, changed = sorted((tmp_path / "copy" / "items").rglob("*.parquet"))[:2]
    gone.unlink()
    changed.write_bytes(changed.read_bytes()[:-1] + b"?")
    result = run("verify", "copy")
    assert result.exit_code == 1
    names = [path.relative_to(tmp_path / "copy").as_posix() for path in (gone, changed)]
    last = f"copy: 1 file missing, 1 changed, of {num_files}."
    assert result.stderr == f"missing: {names[0]}\nchanged: {names[1]}\n{last}\n"


def test_an_export_that_comes_out_different_ends_with_1(run: Run, tmp_path: Path) -> None:
    run("export", "csv", "out")
    manifest = json.loads((tmp_path / "out" / "export.json").read_text())
    manifest["files"][0]["sha256"] = "00" * 32
    (tmp_path / "other.json").write_text(json.dumps(manifest))
    result = run("export", "--from-manifest", "other.json", "again")
    assert result.exit_code == 1
    assert result.stderr.endswith(f"1 file with other bytes than before: {TRAIN_CSV}\n")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["coko", "out"], "Unknown format 'coko'. Did you mean 'coco'?"),
        (["coco"], "Missing argument 'DEST'"),
        (["coco", "out", "--colour"], "No such option '--colour'"),
        (["coco", "out", "--area", "round"], "'round' is not one of 'box', 'mask'"),
        (["csv", "out", "--columns", "hat"], "Unknown column of items 'hat'"),
        (["csv", "out", "--columns", "style,style"], "expected each column once"),
        (["csv", "out", "--images", "copy"], "Invalid value for '--images'"),
        (["coco", "out", "--images", "copy"], "--images copy needs --photos RELEASE"),
    ],
)
def test_wrong_usage_of_export_ends_with_2(run: Run, tmp_path: Path, arguments: list[str], text: str) -> None:
    result = run("export", *arguments)
    assert result.exit_code == 2
    assert text in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_help_of_every_format_shows_its_options(run: Run) -> None:
    shown = run("export", "--help").stdout
    for name in FORMATS:
        assert f"  {name} " in shown
        of_format = run("export", name, "--help")
        assert of_format.exit_code == 0, of_format.stderr
        assert "--whole-images" in of_format.stdout
    assert "--area [box|mask]" in run("export", "coco", "--help").stdout
    assert export_command.get_short_help_str() == "Write a subset in the format of a trainer."


def test_photos_come_from_the_sources_in_params_yaml(run: Run, tmp_path: Path) -> None:
    write_split(tmp_path / "raw" / "train", {}, {image_id: jpeg() for image_id in (1, 2, 3, 4, 7)})
    (tmp_path / "raw" / "train").rename(tmp_path / "elsewhere")
    (tmp_path / "params.yaml").write_text("splits:\n  train: {source: elsewhere}\n")
    result = run("export", "coco", "out", "--split", "train", "--images", "copy")
    assert result.exit_code == 0, result.stderr
    assert len(list((tmp_path / "out" / "images" / "train").iterdir())) == 5
    again = run("export", "--from-manifest", "out", "again")
    assert again.exit_code == 0, again.stderr
    failed = run("export", "coco", "other", "--split", "validation", "--images", "copy")
    assert failed.exit_code == 2
    assert "No place of the photos of validation is known: name it with --photos RELEASE." in failed.stderr


def test_classes_are_counted_and_named(run: Run, tmp_path: Path) -> None:
    exported = run("export", "csv", "out", "--classes", "tops=1,2; legs=trousers,shorts")
    assert exported.exit_code == 0
    assert exported.stdout.splitlines()[1:] == ["train: tops 3, legs 2.", "validation: tops 0, legs 2."]
    assert "note: 3 items are of categories in no class of --classes, and left out: skirt, " in exported.stderr
    again = run("export", "--from-manifest", "out/export.json", "again")
    assert again.stdout.splitlines()[-1].endswith("with the same bytes as before.")
    refused = run("export", "csv", "third", "--classes", "tops=sock; tops=vest")
    assert (refused.exit_code, refused.stderr.splitlines()[0]) == (2, "Error: classes: 2 problems.")
    refused = run("export", "deepfashion2", "third", "--classes", "present")
    assert refused.stderr.startswith("Error: The format deepfashion2 takes no --classes: ")
    assert not (tmp_path / "third").exists()


def test_classes_of_params_are_a_mapping(run: Run, three_splits: Path, tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("exports: {few: {classes: {all tops: [vest, 1], skirts: skirt}}}")
    exported = run("stage", "-r", three_splits, "export", "csv", "out", "{exports.few}", registry=None)
    assert exported.exit_code == 0
    assert exported.stdout.splitlines()[-1] == "train: all tops 2, skirts 1."
