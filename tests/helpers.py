"""Small synthetic annotations in the format of DeepFashion2, and functions that write them.

:func:`item` and :func:`annotation` return valid data; keyword arguments change it.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from hypothesis import strategies as st

from registry.dataset.deepfashion2 import CATEGORIES, CATEGORY_BY_ID
from registry.dataset.tables import TABLES
from registry.ingest.report import IngestReport


def landmarks(category_id: int, v: int = 2) -> list[int]:
    """Return landmarks of a category (x, y, v alternating), all with visibility ``v``; with v = 0, x and y are 0."""
    numbers = range(1, CATEGORY_BY_ID[category_id].num_landmarks + 1)
    return [value for k in numbers for value in ((10 + k, 20 + k, v) if v else (0, 0, 0))]


def item(category_id: int = 1, style: int = 1, **changes: Any) -> dict[str, Any]:
    """Return an item with its keys in the order of the released files; ``changes`` replace values."""
    fields: dict[str, Any] = {
        "segmentation": [[10.5, 20.25, 110.0, 20.0, 110.0, 220.125]],
        "scale": 2,
        "viewpoint": 2,
        "zoom_in": 1,
        "landmarks": landmarks(category_id) if category_id in CATEGORY_BY_ID else [],
        "style": style,
        "bounding_box": [10, 20, 110, 220],
        "category_id": category_id,
        "occlusion": 1,
        "category_name": CATEGORY_BY_ID[category_id].name if category_id in CATEGORY_BY_ID else "hat",
    }
    return fields | changes


def annotation(
    items: Sequence[Mapping[str, Any]] | Mapping[str, Any] = (), source: str = "user", pair_id: int = 1
) -> dict[str, Any]:
    """Return an annotation.

    Args:
        items: items by key, or a sequence that becomes item1, item2, ...; by default a single :func:`item`.
        source: "user" or "shop".
        pair_id: pair_id of the image.
    """
    if not isinstance(items, Mapping):
        items = {f"item{k}": fields for k, fields in enumerate(items or [item()], 1)}
    keys = list(items)
    # The released files have item2 first, then source, pair_id and item1.
    return {
        **{key: items[key] for key in keys[1:]},
        "source": source,
        "pair_id": pair_id,
        **{key: items[key] for key in keys[:1]},
    }


def to_bytes(document: Any) -> bytes:
    """Return the bytes of an annotation file; bytes and text stay as they are, for invalid files."""
    if isinstance(document, bytes):
        return document
    return (document if isinstance(document, str) else json.dumps(document)).encode()


def write_split(folder: Path, annotations: Mapping[int | str, Any], photos: Mapping[int | str, bytes] = {}) -> Path:
    """Write the files of a split (``annos/000001.json``, ``image/000001.jpg``) and return its folder.

    Args:
        folder: folder of the split, such as ``tmp_path / "train"``.
        annotations: annotation (or bytes, or text) by image_id or by file name.
        photos: bytes by image_id or by file name.
    """
    for kind, suffix, files in (("annos", "json", annotations), ("image", "jpg", photos)):
        if files:
            (folder / kind).mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            file_name = f"{name:06d}.{suffix}" if isinstance(name, int) else name
            (folder / kind / file_name).write_bytes(to_bytes(content))
    return folder


def columns_since(version: int) -> set[str]:
    """Return the columns of tables that this schema version or a later one added."""
    return {column.name for table in TABLES.values() for column in table.columns if column.since >= version}


def make_version_1(folder: Path) -> Path:
    """Convert a registry in place to schema version 1, which has no later columns, tables and block digests."""
    for table in ("corrections", "photos"):
        shutil.rmtree(folder / table)
    manifest = json.loads((folder / "manifest.json").read_text())
    files = []
    for entry in manifest["files"]:
        if entry["table"] in ("corrections", "photos"):
            continue
        path = folder / entry["path"]
        with pq.ParquetFile(path) as file:
            table = file.read()
        names = [name for name in table.column_names if name not in columns_since(2)]
        metadata = {**table.schema.metadata, b"df2.schema_version": b"1"}
        pq.write_table(table.select(names).replace_schema_metadata(metadata), path, store_schema=False)
        data = path.read_bytes()
        digest = hashlib.sha256(data).hexdigest()
        renamed = path.rename(path.with_name(f"{digest[:16]}.parquet"))
        files.append(
            {
                "path": renamed.relative_to(folder).as_posix(),
                **{name: entry[name] for name in ("table", "split", "rows")},
                "bytes": len(data),
                "sha256": digest,
            }
        )
    old = {"schema_version": 1, "sources": manifest["sources"], "files": sorted(files, key=lambda file: file["path"])}
    (folder / "manifest.json").write_text(json.dumps(old, indent=1) + "\n")
    return folder


def photo(width: int = 40, height: int = 30, format: str = "JPEG", orientation: int | None = None) -> bytes:
    """Return the bytes of a white photo: a JPEG, PNG or WEBP, perhaps with an EXIF orientation."""
    import io

    from PIL import Image

    out = io.BytesIO()
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    Image.new("RGB", (width, height), "white").save(out, format, **({"exif": exif} if exif else {}))
    return out.getvalue()


def jpeg(width: int = 40, height: int = 30) -> bytes:
    """Return the bytes of a white JPEG."""
    return photo(width, height)


def notices_of(report: IngestReport) -> list[str]:
    """Return the notices of a report, without that of annotations that have no photos on purpose."""
    return [notice for notice in report.notices if "no photos were found in image/" not in notice]


#: Annotations by image_id: pair_id 1 with styles 1 and 2 in both sources and an item of style 0, and pair_id 2 with
#: a user image only.
SMALL_SPLIT: dict[int | str, dict[str, Any]] = {
    1: annotation([item(1, 1), item(8, 2)], "user", 1),
    2: annotation({"item2": item(9, 1), "item5": item(2, 0)}, "user", 1),
    3: annotation([item(1, 1)], "shop", 1),
    4: annotation([item(8, 2), item(10, 1)], "shop", 1),
    7: annotation([item(13, 3, bounding_box=[0, 0, 0, 0], landmarks=landmarks(13, 0))], "user", 2),
}

_CODES = st.integers(1, 3)
_INT32 = st.integers(-(2**31) + 1, 2**31 - 1)
_COORDINATES = st.one_of(
    st.integers(-10, 3000),
    st.floats(-(2**53), 2**53, exclude_min=True, exclude_max=True, allow_nan=False),
    st.integers(-(2**53) + 1, 2**53 - 1),
)


@st.composite
def items(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a valid item with extreme numbers and its keys in any order."""
    category = draw(st.sampled_from(CATEGORIES))
    count = category.num_landmarks
    xs, ys = (draw(st.lists(_INT32, min_size=count, max_size=count)) for _ in "xy")
    vs = draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
    polygon = st.lists(st.tuples(_COORDINATES, _COORDINATES), min_size=3, max_size=6)
    polygons = draw(st.lists(polygon, max_size=3))
    drawn = item(
        category.id,
        draw(st.integers(0, 2**31 - 1)),
        landmarks=[value for point in zip(xs, ys, vs, strict=True) for value in point],
        segmentation=[[value for point in points for value in point] for points in polygons],
        bounding_box=draw(st.lists(_COORDINATES, min_size=4, max_size=4)),
        **{name: draw(_CODES) for name in ("scale", "viewpoint", "zoom_in", "occlusion")},
    )
    return {key: drawn[key] for key in draw(st.permutations(list(drawn)))}


@st.composite
def annotations(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a valid annotation: item numbers with gaps, top-level keys in any order."""
    numbers = draw(st.lists(st.integers(1, 2**15 - 1), min_size=1, max_size=3, unique=True))
    drawn = annotation(
        {f"item{k}": draw(items()) for k in numbers},
        draw(st.sampled_from(["user", "shop"])),
        draw(st.integers(0, 2**31 - 1)),
    )
    return {key: drawn[key] for key in draw(st.permutations(list(drawn)))}
