"""A small registry for tests of retrieval."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from registry.ingest.build import ingest
from tests.helpers import annotation, item, write_split

LEFT = [10, 20, 110, 220]
RIGHT = [120, 20, 220, 220]

#: Queries: both items of image 1 (styles 1, 2 of pair_id 1), item 1 of image 2 and of image 6, which has no answer.
SPLIT: dict[int | str, Any] = {
    1: annotation([item(1, 1, bounding_box=LEFT, occlusion=1), item(8, 2, bounding_box=RIGHT, occlusion=3)], "user", 1),
    2: annotation([item(9, 1, bounding_box=LEFT), item(2, 0, bounding_box=RIGHT)], "user", 2),
    3: annotation([item(1, 1, bounding_box=LEFT)], "shop", 1),
    4: annotation([item(8, 2, bounding_box=LEFT), item(10, 0, bounding_box=RIGHT)], "shop", 1),
    5: annotation([item(9, 1, bounding_box=RIGHT)], "shop", 2),
    6: annotation([item(9, 4, bounding_box=LEFT)], "user", 2),
}


def make_retrieval(folder: Path, *, has_lists: bool = False) -> Path:
    """Return a registry of validation; with lists, of the queries with a style in another order."""
    source = write_split(folder / "validation", SPLIT)
    lists = folder / "lists"
    lists.mkdir()
    if has_lists:
        queries = [(2, LEFT, 9, 1, 2), (1, RIGHT, 8, 2, 1), (1, LEFT, 1, 1, 1)]
        names = ("query_image_id", "bbox", "cls", "style", "pair_id")
        records = [dict(zip(names, values, strict=True)) for values in queries]
        (lists / "val_query.json").write_text(json.dumps(records))
        gallery = [(3, LEFT, 1, 1), (4, LEFT, 2, 1), (5, RIGHT, 1, 2)]
        names = ("gallery_image_id", "bbox", "style", "pair_id")
        records = [dict(zip(names, values, strict=True)) for values in gallery]
        (lists / "val_gallery.json").write_text(json.dumps(records))
    ingest("validation", str(source), str(folder / "registry"), jobs=1, retrieval=[str(lists)] if has_lists else ())
    return folder / "registry"


def record(image_id: int, box: list[int], category_id: int, answers: list[tuple[int, list[int]]], **more: Any) -> Any:
    """Return a record of a submission; its answers are filled up to 20 with a shop image whose box is none."""
    answers = [*answers, *[(3, [0, 0, 1, 1])] * (20 - len(answers))]
    return {
        "query_image_id": image_id,
        "query_bbox": box,
        "query_cls": category_id,
        "query_score": 0.9,
        "gallery_image_id": [image for image, _ in answers],
        "gallery_bbox": [box for _, box in answers],
        **more,
    }


#: Right at rank 1, at rank 3, and not detected.
SUBMISSION = [
    record(1, LEFT, 1, [(3, LEFT)]),
    record(1, RIGHT, 8, [(3, LEFT), (4, RIGHT), (4, LEFT)]),
    record(2, RIGHT, 2, [(5, RIGHT)]),
]
