"""``df2 evaluate``: its table, its records and its files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import registry
from registry.dataset.deepfashion2 import ATTRIBUTE_CODES
from registry.dataset.published import published
from registry.errors import UnknownNameError, UsageError
from registry.store.registry import Registry
from tests.cli.conftest import Run
from tests.evaluation.generated import make_registry, unique_predictions


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry of train, validation and test."""
    return make_registry(tmp_path_factory.mktemp("generated"))


def predictions(registry: Path, path: str = "predictions.json", seed: int = 1, **changes: Any) -> str:
    """Write random predictions for validation."""
    records = unique_predictions(Registry(str(registry)), seed)
    Path(path).write_text(json.dumps([record | changes for record in records]))
    return path


def perfect(registry: Path, path: str = "perfect.json", condition: str = "true") -> str:
    """Write the items of validation as predictions."""
    query = f"FROM items WHERE split = 'validation' AND {condition}"
    rows = Registry(str(registry)).sql(query).to_arrow_table().to_pylist()
    records = [
        {
            "image_id": row["image_id"],
            "category_id": row["category_id"],
            "score": 1.0,
            "bbox": [row["x1"], row["y1"], row["x2"] - row["x1"], row["y2"] - row["y1"]],
            "segmentation": row["segmentation"],
            "keypoints": row["landmarks"],
        }
        for row in rows
    ]
    Path(path).write_text(json.dumps(records))
    return path


@pytest.mark.parametrize(
    ("task", "condition", "metric"),
    [
        ("boxes", "true", "AP"),
        ("masks", "true", "AP"),
        ("landmarks", "num_landmarks_labelled > 0", "AP"),
        # By the protocol, predictions for items without visible landmark are wrong where occluded ones do not count.
        ("landmarks", "len(list_filter(landmarks, lambda v, i: i % 3 = 0 AND v = 2)) > 0", "AP-visible"),
    ],
)
def test_the_items_themselves_score_1_in_every_slice(
    run: Run, generated: Path, task: str, condition: str, metric: str
) -> None:
    file = perfect(generated, condition=condition)
    arguments = ["--by", "occlusion", "--by", "x2 - x1 > 50", "--by", "source", "--format", "json"]
    arguments += ["--resamples", "20"]
    for more in ([], ["--slice", "images"]):
        result = run("evaluate", task, file, *arguments, *more, registry=generated)
        assert result.exit_code == 0
        records = json.loads(result.stdout)
        assert list(records[0]) == ["metric", "slice", "value", "low", "high", "num_items"]
        values = {record["slice"]: record["value"] for record in records if record["metric"] == metric}
        assert len(values) == 1 + 3 + 3 + 2 + 2
        assert set(values.values()) == {1.0}


def test_validation_alone_is_evaluated_where_no_split_is_named(run: Run, generated: Path) -> None:
    file = predictions(generated)
    result = run("evaluate", "boxes", file, "--format", "json", registry=generated)
    assert result.stderr == (
        "note: validation is evaluated, not train: name the splits with split (--split) for others.\n"
    )
    named = run("evaluate", "boxes", file, "--split", "validation", "--format", "json", registry=generated)
    assert (named.stdout, named.stderr) == (result.stdout, "")


def test_the_table_has_the_published_results_below_ones_own(run: Run, generated: Path) -> None:
    arguments = ["evaluate", "boxes", perfect(generated), "--by", "occlusion", "--resamples", 0, "--format", "md"]
    result = run(*arguments, "--split", "validation", registry=generated)
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in result.stdout.splitlines()]
    assert lines[0][:5] == ["slice", "items", "AP", "AP50", "AP75"]
    assert lines[2][0] == "all" and lines[2][2:5] == ["1.000"] * 3
    assert lines[3][:5] == ["Match R-CNN", "", ".638", ".789", ".745"]
    assert [line[0] for line in lines[4:7]] == ["category=short sleeve top", "category=trousers", "category=skirt"]
    assert [line[0] for line in lines[7::2]] == [
        "occlusion=slight or none", "occlusion=medium", "occlusion=heavy"
    ]  # fmt: skip
    assert lines[-1][:5] == ["Match R-CNN", "", ".372", ".531", ".433"]
    assert result.stderr == (
        "note: Match R-CNN: published for validation; the paper does not say whether its subsets are of images or of "
        "items\n"
    )


def test_slices_of_images_have_the_published_results_too(run: Run, generated: Path) -> None:
    arguments = ["--slice", "images", "--by", "zoom_in", "--resamples", 0, "--format", "md", "--split", "validation"]
    lines = run("evaluate", "masks", perfect(generated), *arguments, registry=generated).stdout.splitlines()
    assert lines[-2].startswith("| images with zoom_in=large | ")
    assert lines[-1].startswith("|   Match R-CNN |  | .478 |  |  |")


def test_metrics_for_dvc_are_nested_by_slice(run: Run, generated: Path) -> None:
    arguments = ["--split", "validation", "--by", "occlusion = 3", "--format", "json", "--resamples", 0]
    result = run("evaluate", "boxes", predictions(generated), *arguments, "--metrics", "a/m.json", registry=generated)
    records = json.loads(result.stdout)
    written = json.loads(Path("a/m.json").read_text())
    assert list(written)[:3] == ["AP", "AP50", "AP75"]
    for record in records:
        of_slice = written if record["slice"] == "all" else written[record["slice"]]
        assert of_slice[record["metric"]] == record["value"]
    assert {"occlusion = 3", "not (occlusion = 3)"} < set(written)


def test_bad_records_are_counted_with_exit_code_3(run: Run, generated: Path) -> None:
    file = predictions(generated, image_id=99)
    result = run("evaluate", "boxes", file, "--split", "validation", registry=generated)
    assert result.exit_code == 3
    assert "predictions.json has records that cannot be evaluated" in result.stderr
    skipped = run("evaluate", "boxes", file, "--split", "validation", "--skip-bad", registry=generated)
    assert skipped.exit_code == 0


def test_a_file_of_results_replaces_no_other_file(run: Run, generated: Path) -> None:
    """A user may take --items for the list of items to evaluate, as other commands have it."""
    file = predictions(generated)
    Path("list.csv").write_text("split,image_id\nvalidation,1\n")
    result = run("evaluate", "boxes", file, "--items", "list.csv", registry=generated)
    assert result.exit_code == 2 and "--only-items" in result.stderr
    pq.write_table(pq.read_table(next(generated.rglob("items/**/*.parquet"))), "list.parquet")
    before = Path("list.parquet").read_bytes()
    result = run("evaluate", "boxes", file, "--items", "list.parquet", registry=generated)
    assert result.exit_code == 2 and "has no results of df2 evaluate" in result.stderr
    assert Path("list.parquet").read_bytes() == before
    some = run("evaluate", "boxes", file, "--only-items", "list.csv", "--format", "json", registry=generated)
    assert some.exit_code == 0
    assert json.loads(some.stdout)[0]["num_items"] < 20


def test_every_published_result_is_of_a_slice_and_metric_that_are_computed(generated: Path, tmp_path: Path) -> None:
    df2 = registry.open(str(generated))
    (tmp_path / "p.json").write_text(json.dumps(unique_predictions(Registry(str(generated)), 1)))
    options: dict[str, Any] = {"subset": {"split": "validation"}, "by": list(ATTRIBUTE_CODES), "resamples": 0}
    for task in ("boxes", "masks", "landmarks"):
        computed = registry.evaluate(df2, task, str(tmp_path / "p.json"), **options).scores
        keys = {(score.metric, score.slice) for score in computed}
        assert {(metric, result.slice) for result in published(task) for metric in result.values} <= keys
        results = list(published(task))
        assert len(results) == 13 and all(0 < value < 1 for result in results for value in result.values.values())
    (overall, small, *_, side) = published("landmarks")
    assert (overall.values["AP"], overall.values["AP-visible"]) == (0.529, 0.605)
    assert (small.slice, small.values) == ("scale=small", {"AP": 0.497, "AP-visible": 0.587})
    assert (side.slice, side.values) == ("viewpoint=side or back", {"AP": 0.456, "AP-visible": 0.536})
    assert [result.values["top-20"] for result in published("retrieval")] == [0.366, 0.510, 0.447, 0.524, 0.477]


def test_the_items_that_a_model_gets_wrong_are_queried_and_exported(run: Run, generated: Path) -> None:
    file = predictions(generated)
    arguments = ["--split", "validation", "--items", "out/results.parquet", "--detections", "out/detections.parquet"]
    for _ in range(2):  # a file of results is replaced
        assert run("evaluate", "boxes", file, *arguments, "--format", "json", registry=generated).exit_code == 0
    results = pq.read_table("out/results.parquet").to_pylist()
    assert len(pq.read_table("out/detections.parquet")) == len(json.loads(Path(file).read_text()))
    of_kind: dict[str, int] = {}
    for row in results:
        of_kind[row["kind"]] = of_kind.get(row["kind"], 0) + 1
    assert set(of_kind) >= {"correct", "localisation", "missed"}
    table = ["--table", "results=out/results.parquet"]
    query = "SELECT kind, count(*) AS n FROM items JOIN results USING (split, image_id, item_no) GROUP BY ALL"
    counted = json.loads(run("sql", *table, query, registry=generated).stdout)
    assert {row["kind"]: row["n"] for row in counted} == of_kind
    wrong = ["--where", "results.kind = 'missed'", "--split", "validation"]
    columns = ["--attributes", "--columns", "results.kind"]
    exported = run("export", "coco", "hard", *table, *wrong, *columns, registry=generated)
    assert exported.exit_code == 0, exported.stderr
    annotations = json.loads(Path("hard/annotations/validation.json").read_text())["annotations"]
    missed = {(row["image_id"], row["item_no"]) for row in results if row["kind"] == "missed"}
    assert {(row["image_id"], row["item_no"]) for row in annotations} == missed
    assert {row["results.kind"] for row in annotations} == {"missed"}


def test_slices_by_a_table_of_ones_own(run: Run, generated: Path) -> None:
    file = predictions(generated)
    run("evaluate", "boxes", file, "--items", "results.parquet", "--format", "json", registry=generated)
    arguments = ["--table", "results=results.parquet", "--by", "results.kind", "--format", "json"]
    result = run("evaluate", "boxes", file, "--split", "validation", *arguments, registry=generated)
    assert result.exit_code == 0, result.stderr
    recalls = {row["slice"]: row["value"] for row in json.loads(result.stdout) if row["metric"] == "AR100"}
    assert recalls["results.kind=missed"] == 0 < recalls["results.kind=correct"]


@pytest.mark.parametrize("task", ["boxes", "masks", "landmarks"])
def test_plots_are_csv_files(run: Run, generated: Path, task: str) -> None:
    arguments = ["--split", "validation", "--plots", "plots", "--format", "json", "--resamples", 0]
    result = run("evaluate", task, predictions(generated), *arguments, registry=generated)
    assert result.exit_code == 0, result.stderr
    header, *lines = Path("plots/precision_recall.csv").read_text().splitlines()
    assert header.startswith('"recall","AP50","AP55"') and len(lines) == 101
    header, *lines = Path("plots/confusion.csv").read_text().splitlines()
    assert header == '"category","predicted"'
    assert '"nothing"' in {cell for line in lines for cell in line.split(",")}
    num_items = json.loads(result.stdout)[0]["num_items"]
    assert sum(not line.startswith('"nothing"') for line in lines) == num_items


def test_a_slice_stands_once_and_null_is_no_text(run: Run, generated: Path) -> None:
    null_or_text = "case when style = 0 then 'null' when style = 1 then null else 'x' end"
    options = ["--by", "category", "--by", "occlusion", "--by", "occlusion", "--by", null_or_text, "--resamples", "5"]
    result = run("evaluate", "boxes", predictions(generated), *options, "--format", "json", registry=generated)
    keys = [(record["metric"], record["slice"]) for record in json.loads(result.stdout)]
    assert len(set(keys)) == len(keys)
    assert {("AP", f"{null_or_text}=null"), ("AP", f"{null_or_text} is null")} <= set(keys)


def test_slices_by_lists_are_refused(run: Run, generated: Path) -> None:
    result = run("evaluate", "boxes", predictions(generated), "--by", "landmarks", registry=generated)
    assert result.exit_code == 2
    assert "landmarks has lists or structs: expected numbers, texts or truth values" in result.stderr


def test_wrong_options_are_named(run: Run, generated: Path) -> None:
    df2 = registry.open(str(generated))
    with pytest.raises(UnknownNameError, match="resample"):
        registry.evaluate(df2, "boxes", pa.table({}), resample=3)
    with pytest.raises(UsageError, match="at least 0, found -1"):
        registry.evaluate(df2, "boxes", pa.table({}), resamples=-1)
    one = ["--items", "r.parquet", "--detections", "r.parquet"]
    assert (
        "of both --items and --detections"
        in run("evaluate", "boxes", perfect(generated), *one, registry=generated).stderr
    )
    assert not Path("r.parquet").exists()


def test_python_gets_the_same_as_plain_data_and_arrow(generated: Path, tmp_path: Path) -> None:
    df2 = registry.open(str(generated))
    records = unique_predictions(Registry(str(generated)), 1)
    (tmp_path / "predictions.json").write_text(json.dumps(records))
    arguments: dict[str, Any] = {"subset": {"split": "validation"}, "by": ["occlusion"], "resamples": 0}
    result = registry.evaluate(df2, "boxes", str(tmp_path / "predictions.json"), **arguments)
    frame = pa.Table.from_pylist(
        [{key: row[key] for key in ("image_id", "category_id", "score", "bbox")} for row in records]
    )
    assert registry.evaluate(df2, "boxes", frame, **arguments).records() == result.records()
    assert result.value("AP", "occlusion=heavy") is not None
    names = ["items", "detections", "curves", "confusion", "matches", "shapes", "errors", "worst_images"]
    assert list(result.tables) == names
    assert result.tables["items"].num_rows == result.facts["items"]
    assert result.facts["detections"] == len(records)
    with pytest.raises(UnknownNameError, match="boxs"):
        registry.evaluate(df2, "boxs", frame)
    with pytest.raises(KeyError):
        result.value("AP", "occlusion=none")
