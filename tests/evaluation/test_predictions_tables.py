from __future__ import annotations

import io
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import csv

from registry.errors import AnnotationError, RegistryError, UsageError
from registry.evaluation.detections import Detections
from registry.evaluation.image_index import read_image_index
from registry.evaluation.predictions import read_predictions
from registry.evaluation.truth import read_truth
from registry.store.registry import Registry
from registry.subset.options import Subset
from tests.evaluation.test_predictions import index, read, record
from tests.registries import make_three_splits

BOXES = pa.table(
    {
        "image_id": [2, 1, 9],
        "category_id": [13, 1, 1],
        "score": [0.25, 1.0, 0.5],
        "bbox": [[1.0, 2, 3, 4], [5.5, 6, 7, 8], [0, 0, 1, 1]],
    }
)


def same(first: Detections, second: Detections) -> None:
    """Assert that predictions are equal to the last bit."""
    for name in ("image", "category_id", "score", "position", "boxes", "areas", "landmarks"):
        a, b = getattr(first, name), getattr(second, name)
        assert (a is None) == (b is None), name
        if a is not None:
            assert a.dtype == b.dtype
            np.testing.assert_array_equal(a, b, err_msg=name)
    assert (first.masks is None) == (second.masks is None)
    assert list(first.masks or ()) == list(second.masks or ())


def write(table: pa.Table, path: Path) -> Path:
    """Write a table in the kind of file that the suffix names."""
    if path.suffix == ".parquet":
        pq.write_table(table, path)
    elif path.suffix == ".csv":
        csv.write_csv(table, path)
    elif path.suffix == ".jsonl":
        path.write_text("".join(f"{json.dumps(row)}\n" for row in table.to_pylist()))
    else:
        write_to = pa.ipc.new_file if path.suffix == ".arrow" else pa.ipc.new_stream
        with write_to(path, table.schema) as writer:
            writer.write_table(table, max_chunksize=2)
    return path


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "feather", "jsonl"])
def test_files_of_tables_are_read_as_their_rows(tmp_path: Path, suffix: str) -> None:
    path = write(BOXES, tmp_path / f"predictions.{suffix}")
    found = read_predictions(path, index(), "boxes", skip_bad=True)
    assert found.image.tolist() == [1, 0]
    assert found.boxes is not None
    assert found.boxes.tolist() == [[1, 2, 3, 4], [5.5, 6, 7, 8]]
    with pytest.raises(AnnotationError, match=r"record 2 \(image 9\)"):
        read_predictions(path, index(), "boxes")


@pytest.mark.parametrize("frame", [BOXES, BOXES.to_pandas(), pl.from_arrow(BOXES), BOXES.to_reader()])
def test_frames_are_read_as_their_rows(frame: Any) -> None:
    assert read_predictions(frame, index(), "boxes", skip_bad=True).image.tolist() == [1, 0]


def test_corners_and_csv_are_read(tmp_path: Path) -> None:
    corners = BOXES.drop(["bbox"])
    for name, values in (("x1", [1, 5.5, 0]), ("Y1", [2.0, 6, 0]), ("x2", [4, 12.5, 1]), ("y2", [6.0, 14, None])):
        corners = corners.append_column(name, pa.array(values, pa.float64()))
    for path in ("a.csv", "a.parquet"):
        found = read_predictions(write(corners, tmp_path / path), index(), "boxes", skip_bad=True)
        assert found.boxes is not None
        assert found.boxes.tolist() == [[1, 2, 3, 4], [5.5, 6, 7, 8]]


def test_columns_have_many_types() -> None:
    def read_with(name: str, values: Any) -> Detections:
        rows = BOXES.slice(0, 2)
        if name in rows.column_names:
            rows = rows.drop([name])
        return read_predictions(rows.append_column(name, [values]), index(), "boxes")

    for values in (pa.array(["2", "validation_000001.jpg"]).dictionary_encode(), pa.array([2.0, 1.0]),
                   pa.array([2, 1], pa.uint8()), pa.array([2_000_002, 1], pa.uint64())):  # fmt: skip
        assert read_with("image_id", values).image.tolist() == [1, 0]
    for values in (pa.array(["sling dress", "1"], pa.large_string()), pa.array([13, 1], pa.int8())):
        assert read_with("category_id", values).category_id.tolist() == [13, 1]
    assert read_with("score", pa.array([0.25, 1], pa.float16())).score.tolist() == [0.25, 1]
    assert read_with("split", pa.array(["validation", None])).image.tolist() == [1, 0]
    assert read_with("category_name", pa.array(["sling_dress", None])).category_id.tolist() == [13, 1]
    boxes = BOXES.slice(0, 2).column("bbox").to_pylist()
    for kind in (pa.list_(pa.float32(), 4), pa.list_(pa.float16(), 4), pa.large_list(pa.int64())):
        cast = [[int(x) for x in box] for box in boxes] if kind == pa.large_list(pa.int64()) else boxes
        values = pa.array([[np.float16(x) for x in box] for box in cast] if "half" in str(kind) else cast, kind)
        assert read_with("bbox", values).image.tolist() == [1, 0]


def test_odd_rows_are_named() -> None:
    rows = pa.table(
        {
            "image_id": pa.array([None, 1, 1, 1, 1], pa.int64()),
            "category_id": pa.array([1, None, 1, 1, 1], pa.int64()),
            "score": pa.array([0.5, 0.5, None, 0.5, 0.5]),
            "bbox": pa.array([[1.0] * 4, [1.0] * 4, [1.0] * 4, None, [1, 2, None, 4]]),
        }
    )
    with pytest.raises(AnnotationError) as error:
        read_predictions(rows, index(), "boxes")
    kinds = [line.partition(";")[0].strip() for line in str(error.value).splitlines()[1:-1]]
    assert kinds == [
        "1 record for an image that the registry does not have",
        "1 record of an unknown category",
        "1 record with a score that is no finite number",
        "1 record without bbox",
        "1 record with a bbox that is not four finite numbers",
    ]


def test_columns_that_lack_or_have_other_types_are_all_named(tmp_path: Path) -> None:
    with pytest.raises(
        AnnotationError, match=r"image_id; category_id or category_name; bbox, or x1, y1, x2, y2"
    ) as error:
        read_predictions(pa.table({"score": ["a"], "split": [1]}), index(), "boxes")
    assert "numbers in score, found the type string" in str(error.value)
    assert "names in split, found the type int64" in str(error.value)
    with pytest.raises(AnnotationError, match="the columns keypoints"):
        read_predictions(BOXES, index(), "landmarks")
    with pytest.raises(UsageError, match="twice"):
        read_predictions(BOXES.append_column("Score", [[1, 2, 3]]), index(), "boxes")
    twice = write(BOXES.append_column("Score", [[1, 2, 3]]), tmp_path / "a.parquet")
    with pytest.raises(AnnotationError, match="the column score twice"):
        read_predictions(twice, index(), "boxes")
    with pytest.raises(AnnotationError, match="cannot be read"):
        read_predictions(BOXES.set_column(0, "image_id", [[1.5, 2, 3]]), index(), "boxes")


@pytest.mark.parametrize("suffix", ["parquet", "arrow", "feather"])
def test_damaged_files_are_refused(tmp_path: Path, suffix: str) -> None:
    path = write(BOXES, tmp_path / f"predictions.{suffix}")
    data = path.read_bytes()
    for damaged in (b"", b"text", data[:-20], data[: len(data) // 2]):
        path.write_bytes(damaged)
        with pytest.raises(RegistryError):
            read_predictions(path, index(), "boxes")
    for at in range(0, len(data), 7):
        path.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
        with suppress(RegistryError):
            read_predictions(path, index(), "boxes", skip_bad=True)


def test_a_url_is_read(tmp_path: Path) -> None:
    import fsspec

    buffer = io.BytesIO()
    pq.write_table(BOXES, buffer)
    files = {"a.parquet": buffer.getvalue(), "a.json": json.dumps([record(2)]).encode()}
    for name, data in files.items():
        fsspec.filesystem("memory").pipe(f"/predictions/{name}", data)
        found = read_predictions(f"memory://predictions/{name}", index(), "boxes", skip_bad=True)
        assert found.image[0] == 1


numbers = st.floats(-1e6, 1e6, allow_nan=False) | st.integers(-(10**6), 10**6)
sizes = st.floats(0, 1e6, allow_nan=False) | st.integers(0, 10**6)
records = st.lists(
    st.fixed_dictionaries(
        {
            "image_id": st.sampled_from([1, 2, 3, 4, 99, 2_000_001]),
            "category_id": st.integers(0, 14),
            "score": st.floats(-2, 2, allow_nan=False) | st.sampled_from([0.5, 1]),
            "bbox": st.tuples(numbers, numbers, sizes, sizes).map(list) | st.just([1, 2, -3, 4]),
        }
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None)
@given(records)
def test_json_and_tables_give_the_same_predictions(
    tmp_path_factory: pytest.TempPathFactory, values: list[dict[str, Any]]
) -> None:
    folder = tmp_path_factory.mktemp("predictions")
    schema = pa.schema({"image_id": pa.int64(), "category_id": pa.int64(), "score": pa.float64(),
                        "bbox": pa.list_(pa.float64())})  # fmt: skip
    rows = pa.Table.from_pylist(
        [value | {"score": float(value["score"]), "bbox": [float(x) for x in value["bbox"]]} for value in values],
        schema,
    )
    from_json = read(values, folder, skip_bad=True)
    for source in (write(rows, folder / "a.parquet"), write(rows, folder / "a.arrow"), rows, rows.to_pandas()):
        from_table = read_predictions(source, index(), "boxes", skip_bad=True)
        same(from_json, from_table)
        assert lines_of(from_json) == lines_of(from_table)


def lines_of(found: Detections) -> list[str]:
    """Return the notices but for the file, sorted: the order of problems depends on how the records are divided."""
    return sorted(text.partition(": ")[2] if "left out" in text else text for text in found.notices)


def test_the_index_of_a_registry_knows_its_images(tmp_path: Path) -> None:
    registry = Registry(str(make_three_splits(tmp_path)))
    selection = registry.select(Subset(split=("validation",), where="source = 'user'"))
    images = read_image_index(selection, read_truth(selection, landmarks=True), landmarks=True)
    assert images.splits == ("validation",)
    assert images.registry_sha256 == registry.manifest.sha256
    assert images.find(np.array([1, 2, 9, 1_000_001, 2_000_001, 3_000_001, -5, 2**40])).tolist() == [
        0, -1, -3, -1, 0, -2, -3, -3,
    ]  # fmt: skip
    assert images.find(np.array([1, 1]), np.array([2, 0])).tolist() == [-2, -1]
    assert images.name(0) == "validation/1"


def test_pandas_with_an_index_is_read() -> None:
    frame = pd.DataFrame(BOXES.to_pandas()).set_index("image_id")
    assert read_predictions(frame, index(), "boxes", skip_bad=True).image.tolist() == [1, 0]
