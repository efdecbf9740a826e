from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from registry.errors import AnnotationError, NotFoundError, UsageError
from registry.evaluation.detections import Detections
from registry.evaluation.image_index import ImageIndex
from registry.evaluation.predictions import read_predictions

#: Images 1, 2 and 3 of validation are evaluated; image 4 is outside the subset; test has no annotations.
VALIDATION = [("validation", 1), ("validation", 2), ("validation", 3)]
OTHERS = [("validation", 4), ("train", 1), ("test", 7)]


def index(evaluated: list[tuple[str, int]] = VALIDATION, **options: Any) -> ImageIndex:
    """Return the index of a small registry; its photos are 40 px wide and 30 px high."""
    known = [*VALIDATION, *OTHERS]
    return ImageIndex.of(
        _table(evaluated, {"width": 40, "height": 30}),
        pa.table(
            {
                "split": [split for split, _ in known],
                "image_id": [number for _, number in known],
                "num_items": pa.array([None if split == "test" else 1 for split, _ in known], pa.int16()),
            }
        ),
        **options,
    )


def _table(images: list[tuple[str, int]], columns: dict[str, int]) -> pa.Table:
    keys = {"split": [split for split, _ in images], "image_id": [number for _, number in images]}
    return pa.table({**keys, **{name: [value] * len(images) for name, value in columns.items()}})


def record(image_id: Any = 1, category_id: Any = 1, score: Any = 0.5, **changes: Any) -> dict[str, Any]:
    """Return a record of a box; ``changes`` add or replace values, None removes them."""
    values = {"image_id": image_id, "category_id": category_id, "score": score, "bbox": [1, 2, 3, 4]} | changes
    return {key: value for key, value in values.items() if value is not None}


def read(
    document: Any, tmp_path: Path, task: str = "boxes", truth: ImageIndex | None = None, **options: Any
) -> Detections:
    """Return the predictions of a JSON document; text and bytes are written as they are."""
    path = tmp_path / "predictions.json"
    text = document if isinstance(document, str | bytes) else json.dumps(document)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_predictions(str(path), truth or index(), task, **options)


def problems(document: Any, tmp_path: Path, task: str = "boxes", **options: Any) -> list[str]:
    """Return the lines of the problems that make a file unusable."""
    with pytest.raises(AnnotationError) as error:
        read(document, tmp_path, task, **options)
    assert error.value.exit_code == 3
    return [line.strip() for line in str(error.value).splitlines()[1:-1]]


def test_boxes_have_the_columns_of_their_records_in_order(tmp_path: Path) -> None:
    found = read([record(2, 13, 0.25, bbox=[0.1, 2, 3.5, 4]), record(1, 3, 1)], tmp_path)
    assert found.image.tolist() == [1, 0]
    assert found.category_id.tolist() == [13, 3]
    assert found.score.tolist() == [0.25, 1.0]
    assert found.boxes is not None
    assert found.boxes.tolist() == [[0.1, 2, 3.5, 4], [1, 2, 3, 4]]
    assert found.areas is not None
    assert found.areas.tolist() == [3.5 * 4, 12]
    assert found.position.tolist() == [0, 1]
    assert found.notices == []


@pytest.mark.parametrize("name", [1, 1.0, "1", "000001.jpg", "validation_000001.jpg", "validation/000001", 2_000_001])
def test_an_image_has_a_number_or_a_name(tmp_path: Path, name: Any) -> None:
    assert read([record(name)], tmp_path).image.tolist() == [0]


@pytest.mark.parametrize("name", [8, 8.0, "8", "trousers", "Trousers", " trousers"])
def test_a_category_has_a_number_or_a_name(tmp_path: Path, name: Any) -> None:
    assert read([record(1, name)], tmp_path).category_id.tolist() == [8]
    assert read([record(1, None, category_name=str(name).removesuffix(".0"))], tmp_path).category_id.tolist() == [8]


def test_names_of_the_official_converter_are_categories(tmp_path: Path) -> None:
    found = read([record(1, "short_sleeved_shirt"), record(1, None, category_name="long_sleeved_dress")], tmp_path)
    assert found.category_id.tolist() == [1, 11]


def test_images_outside_the_subset_are_left_out_with_a_notice(tmp_path: Path) -> None:
    found = read([record(4, 99, bbox=[0, 0, -1, 1]), record(3), record(1_000_001)], tmp_path)
    assert found.image.tolist() == [2]
    assert found.position.tolist() == [1]
    assert found.notices == ["2 predictions are of images outside the evaluated subset, and were left out"]


def test_several_splits_need_ids_that_tell_the_split(tmp_path: Path) -> None:
    truth = index([("train", 1), *VALIDATION])
    found = read([record(1_000_001), record(2_000_003), record("train_000001.jpg", 2), record(1, split="validation")],
                 tmp_path, truth=truth)  # fmt: skip
    assert found.image.tolist() == [0, 3, 0, 1]
    (line,) = problems([record(1), record("000002.jpg"), record(2_000_001)], tmp_path, truth=truth)
    assert line.startswith(
        "2 records with an image_id that does not tell the split; expected for train and validation together"
    )
    assert line.endswith("(record 0 (image 1); record 1 (image 000002.jpg))")


def test_all_problems_stand_in_one_error_with_their_places(tmp_path: Path) -> None:
    document = [
        record(99), record(2_000_099), record("val_1.jpg"), record(3_000_007),  # images
        record(1, 14), record(1, "hat"), record(1, 2, category_name="vest"),  # categories
        record(1, 1, float("nan")), record(1, 1, "high"), record(1, 1, 0.7, bbox=[0, 0, 1, float("inf")]),
        record(1, 1, 0.6, bbox=[5, 5, -1, 2]), record(1, 1, 0.6, bbox=[5, 5, 2]), record(1, 1, 0.8, bbox=None),
        record(None), "text", {"image_id": 1}, record(1, 1), record(1, 1),
    ]  # fmt: skip
    lines = problems(document, tmp_path)
    assert [line.partition(";")[0] for line in lines] == [
        "2 records with a score that is no finite number",
        "1 record without image_id",
        "1 record that cannot be read",
        "1 record without score",
        "3 records for an image that the registry does not have",
        "1 record for an image without annotations",
        "2 records of an unknown category",
        "1 record with another category_name than category_id",
        "1 record without bbox",
        "2 records with a bbox that is not four finite numbers",
        "1 record with a bbox of negative size",
        "1 repeated record",
    ]
    assert lines[0].endswith("(record 8 (image 1): Expected `float`, got `str`; record 7 (image 1): score nan)")
    assert lines[4].endswith("(record 0 (image 99); record 1 (image 2000099); record 2 (image val_1.jpg))")
    assert lines[-1].endswith("(record 17 (image validation/1) as record 16)")


def test_bad_records_are_skipped_on_demand(tmp_path: Path) -> None:
    found = read([record(99), record(1, 1), record(1, 14)], tmp_path, skip_bad=True)
    assert found.position.tolist() == [1]
    total, first, second = found.notices
    assert total.endswith("predictions.json: 2 records left out")
    assert first.startswith("1 record for an image that the registry does not have")
    assert second.startswith("1 record of an unknown category")


@pytest.mark.parametrize("key", ["annotations", "predictions"])
def test_an_object_may_hold_the_list(tmp_path: Path, key: str) -> None:
    document = {"info": {"a": [1]}, "images": [{"id": 1}], key: [record(2)], "categories": []}
    assert read(document, tmp_path).image.tolist() == [1]


def test_gzip_is_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "predictions.json.gz"
    path.write_bytes(gzip.compress(json.dumps([record()]).encode()))
    assert len(read_predictions(path, index(), "boxes").score) == 1
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(AnnotationError, match="cannot be read as JSON"):
        read_predictions(path, index(), "boxes")
    path.write_bytes(b"[]")
    with pytest.raises(AnnotationError, match="cannot be read as JSON"):
        read_predictions(path, index(), "boxes")


def test_a_file_without_records_is_noticed(tmp_path: Path) -> None:
    found = read([], tmp_path)
    assert found.score.tolist() == []
    assert found.boxes is not None
    assert found.boxes.shape == (0, 4)
    assert found.notices == ["the predictions have no record"]


@pytest.mark.parametrize(
    "text", ["", "{", "[{]", "[1, 2", '{"a": 1}', "3", '[{"image_id": 1}] 2', "\ufeff[", '{"annotations": 1}', "[,]"]
)
def test_a_file_that_is_no_list_of_records_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(AnnotationError):
        read(text, tmp_path)


def test_a_missing_file_and_an_unknown_task_are_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_predictions(tmp_path / "none.json", index(), "boxes")
    with pytest.raises(UsageError, match="boxes, masks, landmarks"):
        read_predictions(tmp_path / "none.json", index(), "poses")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="Arrow table"):
        read_predictions([record()], index(), "boxes")


def test_another_version_of_the_registry_is_noticed(tmp_path: Path) -> None:
    truth = index(registry_sha256="a" * 64)
    for named in ("b" * 64, {"manifest_sha256": "b" * 64}):
        (notice,) = read({"registry": named, "annotations": [record()]}, tmp_path, truth=truth).notices
        assert "another version of the registry (bbbbbbbbbbbb)" in notice
    assert read({"annotations": [record()], "registry": "sha256:" + "A" * 64}, tmp_path, truth=truth).notices == []
    rows = pa.table({"image_id": [1], "category_id": [1], "score": [0.5], "bbox": [[1.0, 2, 3, 4]]})
    named_rows = rows.replace_schema_metadata({"registry": "b" * 64})
    assert len(read_predictions(named_rows, truth, "boxes").notices) == 1
    assert read_predictions(rows, truth, "boxes").notices == []


def test_scores_outside_0_to_1_are_noticed(tmp_path: Path) -> None:
    found = read([record(score=1.5), record(score=-2)], tmp_path)
    assert found.score.tolist() == [1.5, -2]
    assert found.notices == ["2 predictions have a score below 0 or above 1, which counts only by its order"]


def test_numbers_are_read_exactly(tmp_path: Path) -> None:
    literals = ["0.1", "1e-300", "123456789.123456789", "9007199254740993", "0.30000000000000004", "5e-324"]
    text = ",".join(f'{{"image_id":1,"category_id":1,"score":{x},"bbox":[{x},0,{x},1]}}' for x in literals)
    found = read(f"[{text}]", tmp_path)
    assert found.boxes is not None
    assert found.boxes[:, 0].tolist() == found.score.tolist() == [float(x) for x in literals]


HOSTILE = {
    "nested deeply": "[" * 100_000 + "]" * 100_000,
    "a box nested deeply": '[{"image_id":1,"category_id":1,"score":0.5,"bbox":' + "[" * 100_000 + "]" * 100_000 + "}]",
    "a number of many digits": '[{"image_id":' + "9" * 5000 + ',"category_id":1,"score":0.5,"bbox":[1,2,3,4]}]',
    "a score of many digits": '[{"image_id":1,"category_id":1,"score":' + "9" * 400 + ',"bbox":[1,2,3,4]}]',
    "an infinite score": '[{"image_id":1,"category_id":1,"score":1e999,"bbox":[1,2,3,4]}]',
    "an image beyond 64 bits": '[{"image_id":99999999999999999999,"category_id":1,"score":1,"bbox":[1,2,3,4]}]',
    "an area beyond doubles": '[{"image_id":1,"category_id":1,"score":1,"bbox":[1,2,1e200,1e200]}]',
    "truth values": '[{"image_id":true,"category_id":false,"score":true,"bbox":[1,2,3,4]}]',
    "nothing": '[{"image_id":null,"category_id":null,"score":null,"bbox":null}]',
    "half of a pair": r'[{"image_id":"\ud800","category_id":"\u0000","score":1,"bbox":[1,2,3,4]}]',
    "no UTF-8": b'[{"image_id":"\xff","category_id":1,"score":0.5,"bbox":[1,2,3,4]}]',
    "UTF-16": "[]".encode("utf-16"),
    "a long name": '[{"image_id":"' + "1" * 100_000 + '","category_id":1,"score":1,"bbox":[1,2,3,4]}]',
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_refused_in_a_sentence(tmp_path: Path, text: str | bytes) -> None:
    with pytest.raises(AnnotationError) as error:
        read(text, tmp_path)
    assert len(str(error.value)) < 2000
