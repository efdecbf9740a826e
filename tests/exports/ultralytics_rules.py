"""Ultralytics' rules for a dataset folder, written down so that tests need neither it nor torch.

What its loader refuses or drops in silence fails here with file and line. Earlier releases want a coordinate in
[0, 1], as is checked here; later ones let it exceed that by 1 % (``tolerance=0.01``). The photos' contents are not
looked at, only that they are there.

Source: docs.ultralytics.com/datasets/{detect,segment,pose}; in ultralytics/data, ``utils.py`` (``check_det_dataset``,
``img2label_paths``, ``verify_image_label``), ``base.py`` (``get_img_files``), ``dataset.py`` and ``augment.py``, as of
8.4.190, on which the rules for rows were tried.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML

TASKS = ("detect", "segment", "pose")
SPLITS = ("train", "val", "test")
PHOTO_SUFFIXES = {".bmp", ".dng", ".heic", ".jpeg", ".jpg", ".mpo", ".pfm", ".png", ".tif", ".tiff", ".webp"}


def check_dataset(folder: Path, task: str, tolerance: float = 0.0) -> dict[str, dict[str, int]]:
    """Check a folder with ``data.yaml``, photos and labels.

    Args:
        folder: holds ``data.yaml``.
        task: detect, segment or pose.
        tolerance: how far a coordinate may lie outside [0, 1].

    Returns:
        For every split that is not empty in ``data.yaml``: number of photos (``images``), of photos with a label file
        (``labels``), of photos without rows (``backgrounds``, as the loader calls them), and of rows.

    Raises:
        AssertionError: a rule is broken; the message begins with the file and, for a row, its line.
    """
    assert task in TASKS, task
    path = folder / "data.yaml"
    data = YAML(typ="safe", pure=True).load(path)
    assert isinstance(data, dict), f"{path}: not a mapping"
    num_classes = _check_names(path, data)
    kpt_shape = _check_keypoints(path, data) if task == "pose" else None
    # Ultralytics looks up a relative 'path' in the working directory and in a folder of the user's settings, never
    # beside data.yaml: only a folder without it, or with an absolute one, works from everywhere.
    root = Path(data.get("path") or folder)
    assert data.get("path") is None or root.is_absolute(), f"{path}: path {root} is relative to the working directory"

    counts = {}
    labels_seen: set[Path] = set()
    for split in SPLITS:
        assert split in data or split == "test", f"{path}: key {split} is missing; it may be empty"
        if not data.get(split):
            continue
        photos = sorted(_photos(path, split, root, data[split]))
        assert photos, f"{path}: {split}: no photo in {data[split]}; leave the key empty"
        actual = {"images": len(photos), "labels": 0, "backgrounds": 0, "rows": 0}
        for photo in photos:
            label = label_of(photo)
            assert label not in labels_seen, f"{label}: the label of two photos"
            labels_seen.add(label)
            rows = _check_file(label, task, num_classes, kpt_shape, tolerance) if label.is_file() else 0
            actual["labels"] += label.is_file()
            actual["backgrounds"] += not rows
            actual["rows"] += rows
        counts[split] = actual
    # The loader starts from photos, so it would never read these.
    for label in sorted((root / "labels").resolve().rglob("*.txt")):
        assert label in labels_seen, f"{label}: a label without a photo"
    return counts


def check_labels(
    folder: Path,
    task: str,
    num_classes: int,
    kpt_shape: Sequence[int] | None = None,
    tolerance: float = 0.0,
) -> dict[str, int]:
    """Check label files alone, for a folder without photos.

    Args:
        folder: holds ``labels/``, or is a folder of label files itself.
        task: detect, segment or pose.
        num_classes: classes of the dataset.
        kpt_shape: number of keypoints, and 2 (x, y) or 3 (x, y, visibility); for pose.
        tolerance: how far a coordinate may lie outside [0, 1].

    Returns:
        The number of label files (``labels``), of those without a row (``backgrounds``), and of rows.

    Raises:
        AssertionError: a rule is broken, or there is no label file.
    """
    assert task in TASKS, task
    labels = folder / "labels" if (folder / "labels").is_dir() else folder
    rows = [_check_file(path, task, num_classes, kpt_shape, tolerance) for path in sorted(labels.rglob("*.txt"))]
    assert rows, f"{labels}: no label file"
    return {"labels": len(rows), "backgrounds": rows.count(0), "rows": sum(rows)}


def label_of(photo: Path) -> Path:
    """Return the path of a photo's label: the last folder ``images`` becomes ``labels``, the suffix ``.txt``."""
    before, images, after = str(photo).rpartition("/images/")
    return Path(f"{before}/labels/{after}" if images else photo).with_suffix(".txt")


def _check_names(path: Path, data: Mapping[str, Any]) -> int:
    """Return the number of classes of data.yaml."""
    names = data.get("names")
    assert names, f"{path}: no names"
    by_id = names if isinstance(names, dict) else dict(enumerate(names))
    assert sorted(map(int, by_id)) == list(range(len(by_id))), f"{path}: names are not numbered 0 to {len(by_id) - 1}"
    assert all(isinstance(name, str) and name for name in by_id.values()), f"{path}: a name is not a text"
    assert len(set(by_id.values())) == len(by_id), f"{path}: a name occurs twice"
    assert data.get("nc", len(by_id)) == len(by_id), f"{path}: nc {data['nc']} for {len(by_id)} names"
    return len(by_id)


def _check_keypoints(path: Path, data: Mapping[str, Any]) -> tuple[int, int]:
    """Return kpt_shape of data.yaml."""
    shape = data.get("kpt_shape")
    assert isinstance(shape, list), f"{path}: no kpt_shape"
    assert len(shape) == 2, f"{path}: kpt_shape {shape}"
    number, size = shape
    assert number > 0, f"{path}: kpt_shape {shape}"
    assert size in {2, 3}, f"{path}: kpt_shape {shape}"
    # Without flip_idx Ultralytics trains without mirrored photos; with one of another length it stops.
    flip = data.get("flip_idx")
    if flip is not None:
        assert len(flip) == number, f"{path}: flip_idx has {len(flip)} entries for {number} keypoints"
        assert sorted(flip) == list(range(number)), f"{path}: flip_idx is not a permutation"
        for slot, other in enumerate(flip):
            assert flip[other] == slot, f"{path}: flip_idx[{slot}] is {other}, flip_idx[{other}] is {flip[other]}"
    sigmas = data.get("kpt_oks_sigmas")
    if sigmas is not None:
        assert len(sigmas) == number, f"{path}: kpt_oks_sigmas has {len(sigmas)} entries for {number} keypoints"
        assert all(sigma > 0 for sigma in sigmas), f"{path}: a value of kpt_oks_sigmas is not above 0"
    for class_id, names in (data.get("kpt_names") or {}).items():
        assert len(names) == number, f"{path}: kpt_names[{class_id}] has {len(names)} entries for {number} keypoints"
    return number, size


def _photos(path: Path, split: str, root: Path, value: str | list[str]) -> Iterator[Path]:
    """Yield the photos of a split: in a folder, named in a text file, or in a list of these."""
    for entry in [value] if isinstance(value, str) else value:
        # Links to folders are followed before 'images' is looked for in the path, links to photos are not.
        place = (root / entry).resolve()
        assert place.exists(), f"{path}: {split}: {place} does not exist"
        if place.is_dir():
            actual = list(place.rglob("*.*"))
        else:
            lines = place.read_text("utf-8").strip().splitlines()
            for number, line in enumerate(lines, 1):
                # Anything else would be looked up in the working directory.
                assert line.startswith(("./", "/")), f"{place}:{number}: begin a relative path with ./"
            actual = [place.parent / line for line in lines]
            for number, photo in enumerate(actual, 1):
                assert photo.is_file(), f"{place}:{number}: no photo {photo}"
        yield from (photo for photo in actual if photo.suffix.lower() in PHOTO_SUFFIXES)


def _check_file(path: Path, task: str, num_classes: int, kpt_shape: Sequence[int] | None, tolerance: float) -> int:
    """Return the number of rows of a label file after checking each."""
    seen: dict[tuple[float, ...], int] = {}
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        where = f"{path}:{number}"
        fields = line.split()
        assert fields, f"{where}: an empty row"
        assert fields[0].isdecimal(), f"{where}: class {fields[0]} is not a whole number from 0"
        assert int(fields[0]) < num_classes, f"{where}: class {fields[0]} of {num_classes}"
        try:
            values = np.array(fields[1:], dtype=np.float32)
        except ValueError as error:
            raise AssertionError(f"{where}: {error}") from None
        _check_columns(where, task, len(fields), kpt_shape)

        coordinates = values
        if task == "pose" and kpt_shape is not None and kpt_shape[1] == 3:
            points = values[4:].reshape(-1, 3)
            assert np.isin(points[:, 2], (0, 1, 2)).all(), f"{where}: a visibility is not 0, 1 or 2"
            coordinates = np.concatenate((values[:4], points[:, :2].ravel()))
        # Said this way round, not-a-number fails too.
        inside = (coordinates >= -tolerance) & (coordinates <= 1 + tolerance)
        assert inside.all(), f"{where}: {coordinates[~inside].tolist()} not in [0, 1]"

        key = (float(fields[0]), *values.tolist())
        assert key not in seen, f"{where}: dropped as a duplicate of row {seen[key]}"
        seen[key] = number
    return len(seen)


def _check_columns(where: str, task: str, number: int, kpt_shape: Sequence[int] | None) -> None:
    if task == "segment":
        assert number >= 7, f"{where}: {number} columns; a polygon has the class and three points or more"
        assert number % 2, f"{where}: {number} columns; a polygon has the class and pairs of x, y"
        return
    expected = 5
    if task == "pose":
        assert kpt_shape is not None, "pose needs kpt_shape"
        expected += kpt_shape[0] * kpt_shape[1]
    assert number == expected, f"{where}: {number} columns instead of {expected}"
