from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pycocotools import mask

from registry.dataset.masks import mask_of
from registry.evaluation.image_index import ImageIndex
from registry.evaluation.predictions import read_predictions
from registry.evaluation.rle import check_rles
from tests.evaluation.test_predictions import index, problems, read, record

TRIANGLE = [[1.5, 2.0, 30.0, 4.0, 10.0, 25.0]]


def rle(pixels: Any = None) -> dict[str, Any]:
    """Return a mask as JSON has it; without pixels, one of the photo of the registry, 30 high and 40 wide."""
    if pixels is None:
        pixels = np.zeros((30, 40), np.uint8)
        pixels[3:20, 5:17] = 1
    encoded = mask.encode(np.asfortranarray(pixels, np.uint8))
    return {"size": encoded["size"], "counts": encoded["counts"].decode()}


def runs_of(pixels: np.ndarray) -> list[int]:
    """Return the uncompressed runs of a mask."""
    flat = pixels.ravel(order="F")
    edges = np.flatnonzero(np.diff(flat, prepend=0, append=-1))
    return np.diff(edges, prepend=0).tolist()


def masked(segmentation: Any, **changes: Any) -> dict[str, Any]:
    return record(segmentation=segmentation, **changes)


def test_masks_are_read_from_runs_text_and_polygons(tmp_path: Path) -> None:
    pixels = np.zeros((30, 40), np.uint8)
    pixels[3:20, 5:17] = 1
    flat = runs_of(pixels)
    document = [
        masked(rle(), bbox=None),
        masked({"size": [30, 40], "counts": flat}, image_id=2),
        masked(TRIANGLE, bbox=None, score=0.25),
    ]
    found = read(document, tmp_path, "masks")
    assert found.masks is not None
    expected = mask.encode(np.asfortranarray(pixels))
    assert found.masks[0] == found.masks[1] == expected
    assert found.masks[-1] == mask_of(TRIANGLE, 40, 30)
    assert len(found.masks[:2]) == 2
    assert found.areas is not None
    assert found.areas.tolist() == [17 * 12, 12, float(mask.area(mask_of(TRIANGLE, 40, 30)))]
    assert found.boxes is not None
    assert np.isnan(found.boxes[:, 0]).tolist() == [True, False, True]
    assert read(document[:1], tmp_path, "masks").boxes is None


@pytest.mark.parametrize(
    ("segmentation", "kind"),
    [
        (None, "1 record without segmentation"),
        ([], "1 record without segmentation"),
        ([[1, 2, 3, 4]], "1 record with polygons that give no mask"),
        ([[1, 2, 3, 4, 5, 6, 7]], "1 record with polygons that give no mask"),
        ([[1, 2, 3, 4, 5, 1e9]], "1 record with polygons that give no mask"),
        ([1, 2, 3, 4, 5, 6], "1 record with a segmentation that is no mask"),
        ({"size": [30, 40]}, "1 record with a segmentation that is no mask"),
        ({"size": [30], "counts": ""}, "1 record with a segmentation that is no mask"),
        (
            {"size": [40, 30], "counts": rle(np.ones((40, 30)))["counts"]},
            "1 record with a mask of another size than the",
        ),
        ({"size": [30, 40], "counts": ""}, "1 record with a mask whose counts do not fill its size"),
        ({"size": [30, 40], "counts": [1, 2]}, "1 record with a mask whose counts do not fill its size"),
        ({"size": [30, 40], "counts": [1200, 5]}, "1 record with a mask whose counts do not fill its size"),
        ({"size": [30, 40], "counts": [1201, -1]}, "1 record with a segmentation that is no mask"),
        ({"size": [0, 40], "counts": [0]}, "1 record with a mask whose counts do not fill its size"),
        ({"size": [2**40, 2**40], "counts": [2**28]}, "1 record with a mask whose counts do not fill its size"),
        ({"size": [30, 40], "counts": "\u00e9"}, "1 record with a mask whose counts do not fill its size"),
        ({"size": [30, 40], "counts": "oooooooooooooooooooooooo0"}, "1 record with a mask whose counts do not fill"),
        ({"size": [30, 40], "counts": "P"}, "1 record with a mask whose counts do not fill its size"),
        ({"size": [30, 40], "counts": "!" * 50}, "1 record with a mask whose counts do not fill its size"),
        ({"size": [30, 40], "counts": "0" * 2000}, "1 record with a mask whose counts do not fill its size"),
        ({"size": [30, 40], "counts": "\u0000"}, "1 record with a mask whose counts do not fill its size"),
    ],
)
def test_bad_masks_are_named_and_never_reach_pycocotools(tmp_path: Path, segmentation: Any, kind: str) -> None:
    (line,) = problems([masked(rle()), masked(segmentation, image_id=2)], tmp_path, "masks")
    assert line.startswith(kind)
    found = read([masked(segmentation), masked(rle(), image_id=2)], tmp_path, "masks", skip_bad=True)
    assert found.image.tolist() == [1]


def test_runs_are_checked_as_pycocotools_reads_them() -> None:
    rng = random.Random(0)
    counts, sizes, areas = [], [], []
    for _ in range(300):
        height, width = rng.randint(1, 60), rng.randint(1, 60)
        pixels = np.array([[rng.random() < rng.choice([0, 0.1, 0.5, 1]) for _ in range(width)] for _ in range(height)])
        encoded = mask.encode(np.asfortranarray(pixels, np.uint8))
        counts.append(encoded["counts"])
        sizes.append([height, width])
        areas.append(float(pixels.sum()))
    is_valid, found = check_rles(counts, np.array(sizes))
    assert is_valid.all()
    assert found.tolist() == areas
    # A character more or less is not valid, whatever the neighbours are.
    changed = [text[:-1] if k % 3 == 0 else text + b"1" if k % 3 == 1 else text for k, text in enumerate(counts)]
    assert check_rles(changed, np.array(sizes))[0].tolist() == [k % 3 == 2 for k in range(300)]


def test_random_text_is_valid_only_if_its_runs_fill_the_size() -> None:
    rng = random.Random(1)
    for _ in range(2000):
        text = bytes(rng.choice(b"0123456789:;<=>?@AQao") for _ in range(rng.randint(1, 5)))
        sizes = np.array([[rng.randint(1, 6), rng.randint(1, 6)]])
        is_valid, area = check_rles([text], sizes)
        runs = _decoded(text)
        expected = runs is not None and min(runs) >= 0 and sum(runs) == sizes.prod()
        assert is_valid.tolist() == [expected], text
        if expected:
            assert runs is not None
            assert area.tolist() == [sum(runs[1::2])]
            height, width = sizes[0].tolist()
            assert mask.area({"size": [height, width], "counts": text}) == sum(runs[1::2])


def _decoded(text: bytes) -> list[int] | None:
    """Return runs as rleFrString of the COCO API reads them; None if the text ends within one."""
    runs: list[int] = []
    at = 0
    while at < len(text):
        value = place = 0
        while True:
            if at == len(text):
                return None
            bits = text[at] - 48
            value |= (bits & 31) << 5 * place
            at, place = at + 1, place + 1
            if not bits & 32:
                break
        if bits & 16:
            value -= 1 << 5 * place
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
    return runs


def test_masks_of_an_image_of_unknown_size_have_one_size(tmp_path: Path) -> None:
    known = index()
    truth = ImageIndex(
        known.splits,
        known.image_id,
        known.split,
        np.zeros(3, np.int64),
        np.zeros(3, np.int64),
        known.keys,
        known.positions,
    )
    polygons = read([masked(TRIANGLE), masked([[0, 0, 3, 0, 3, 3]])], tmp_path, "masks", truth=truth)
    assert polygons.masks is not None
    assert polygons.masks[0]["size"] == polygons.masks[1]["size"]
    assert polygons.areas is not None
    assert mask.area(polygons.masks[0]) == mask.area(mask_of(TRIANGLE, 40, 30))
    (line,) = problems([masked(rle()), masked(rle(np.ones((40, 30))), score=0.7)], tmp_path, "masks", truth=truth)
    assert line.startswith("1 record with a mask of another size than the first of the image")


def test_repeated_masks_are_named(tmp_path: Path) -> None:
    document = [masked(rle()), masked(rle(), image_id=2), masked(rle()), masked(rle(), score=0.7)]
    (line,) = problems(document, tmp_path, "masks")
    assert line.startswith("1 repeated record;")
    assert "record 2 (image validation/1) as record 0" in line
    assert read(document, tmp_path, "masks", skip_bad=True).position.tolist() == [0, 1, 3]


def test_masks_in_tables(tmp_path: Path) -> None:
    size_and_counts = [{"size": [30, 40], "counts": rle()["counts"]}, None]
    keys = {"image_id": [1, 2], "category_id": [1, 2], "score": [0.5, 0.5]}
    for column in ("segmentation", "mask"):
        found = read_predictions(pa.table({**keys, column: size_and_counts}), index(), "masks", skip_bad=True)
        assert found.masks is not None
        assert found.masks[0]["counts"] == rle()["counts"].encode()
        assert found.position.tolist() == [0]
    as_bytes = [{"size": [30, 40], "counts": rle()["counts"].encode()}] * 2
    as_numbers = [{"size": [30, 40], "counts": [1200]}, {"size": [30, 40], "counts": [1201, -1]}]
    as_polygons = pa.array([TRIANGLE, [[1.0, None, 2, 3, 4, 5]]])
    for values, number in ((as_bytes, 2), (as_numbers, 1), (as_polygons, 1)):
        found = read_predictions(pa.table({**keys, "segmentation": values}), index(), "masks", skip_bad=True)
        assert len(found.score) == number
