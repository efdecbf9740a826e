"""The query and gallery lists: their exact text, and that this project's own reader agrees with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import registry
from registry.errors import UsageError
from registry.ingest.build import ingest
from registry.subset.resplit import Resplit
from tests.exports.releases import run_export
from tests.exports.retrieval_rules import hits
from tests.helpers import annotation, item, notices_of, write_split

TRAIN_QUERY = """\
[
{"query_image_id": 1, "bbox": [10, 20, 110, 220], "cls": 8, "style": 2, "pair_id": 1},
{"query_image_id": 1, "bbox": [10, 20, 110, 220], "cls": 1, "style": 1, "pair_id": 1},
{"query_image_id": 2, "bbox": [10, 20, 110, 220], "cls": 9, "style": 1, "pair_id": 1},
{"query_image_id": 7, "bbox": [0, 0, 0, 0], "cls": 13, "style": 3, "pair_id": 2}
]
"""
TRAIN_GALLERY = """\
[
{"gallery_image_id": 3, "bbox": [10, 20, 110, 220], "style": 1, "pair_id": 1},
{"gallery_image_id": 4, "bbox": [10, 20, 110, 220], "style": 1, "pair_id": 1},
{"gallery_image_id": 4, "bbox": [10, 20, 110, 220], "style": 2, "pair_id": 1}
]
"""
VAL_QUERY = """\
[
{"query_image_id": 1, "bbox": [10, 20, 110, 220], "cls": 7, "style": 1, "pair_id": 1}
]
"""
VAL_GALLERY = """\
[
{"gallery_image_id": 2, "bbox": [10, 20, 110, 220], "style": 1, "pair_id": 1}
]
"""


def texts(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir()) if path.name != "export.json"}


def test_lists_of_every_split_have_the_published_form(exportable: Path, tmp_path: Path) -> None:
    manifest = run_export(exportable, "retrieval", tmp_path / "out")
    assert texts(tmp_path / "out") == {
        "train_query.json": TRAIN_QUERY,
        "train_gallery.json": TRAIN_GALLERY,
        "val_query.json": VAL_QUERY,
        "val_gallery.json": VAL_GALLERY,
        "test_query.json": "[]\n",
        "test_gallery.json": "[]\n",
    }
    assert {part: dict(counts) for part, counts in manifest.counts.items()} == {
        "train": {"images": 5, "items": 8, "queries": 4, "gallery": 3, "queries_without_answer": 1},
        "validation": {"images": 2, "items": 2, "queries": 1, "gallery": 1, "queries_without_answer": 0},
        "test": {"images": 2, "items": 0, "queries": 0, "gallery": 0, "queries_without_answer": 0},
    }
    assert manifest.left_out == []


def test_boxes_keep_their_fractions_and_shop_items_of_style_0_are_in_the_gallery(tmp_path: Path) -> None:
    annotations = {
        1: annotation([item(1, 0), item(2, 3, bounding_box=[0.25, 1, 7.5, 1e16 / 3])], "user", 5),
        2: annotation([item(1, 0, bounding_box=[-1.5, 0, 2, 3])], "shop", 5),
    }
    ingest("validation", str(write_split(tmp_path / "validation", annotations)), str(tmp_path / "r"), jobs=1)
    run_export(tmp_path / "r", "retrieval", tmp_path / "out")
    box = [0.25, 1, 7.5, 3333333333333333.5]
    assert json.loads((tmp_path / "out" / "val_query.json").read_bytes()) == [
        {"query_image_id": 1, "bbox": box, "cls": 2, "style": 3, "pair_id": 5}
    ]
    assert json.loads((tmp_path / "out" / "val_gallery.json").read_bytes()) == [
        {"gallery_image_id": 2, "bbox": [-1.5, 0, 2, 3], "style": 0, "pair_id": 5}
    ]


@pytest.mark.parametrize(
    ("subset", "counts"),
    [
        ({"source": "user"}, (4, 0, 4)),
        ({"source": "shop"}, (0, 3, 0)),
        ({"style": 1}, (2, 2, 0)),
        ({"image_id": "1-3"}, (3, 1, 1)),
        ({"category": "sling"}, (0, 0, 0)),
    ],
)
def test_queries_without_an_answer_in_the_subset_stay_and_are_counted(
    subset: dict[str, Any], counts: tuple[int, int, int], exportable: Path, tmp_path: Path
) -> None:
    manifest = run_export(exportable, "retrieval", tmp_path / "out", subset=subset | {"split": "train"})
    names = ("queries", "gallery", "queries_without_answer")
    assert tuple(manifest.counts["train"][name] for name in names) == counts
    for name, number in (("query", counts[0]), ("gallery", counts[1])):
        assert len(json.loads((tmp_path / "out" / f"train_{name}.json").read_bytes())) == number


def test_an_answer_must_be_in_the_same_split(tmp_path: Path) -> None:
    for split, source in (("train", "user"), ("validation", "shop")):
        folder = write_split(tmp_path / split, {1: annotation([item(1, 1)], source, 1)})
        ingest(split, str(folder), str(tmp_path / "r"), jobs=1)
    resplit = Resplit.parse("all=0.999999,none=0.000001")
    manifest = run_export(tmp_path / "r", "retrieval", tmp_path / "out", resplit=resplit)
    assert manifest.counts["all"]["queries_without_answer"] == 1
    assert texts(tmp_path / "out")["all_query.json"].count('"query_image_id": 1000001') == 1
    assert texts(tmp_path / "out")["all_gallery.json"].count('"pair_id": 2000001') == 1


@pytest.mark.parametrize(
    ("fractions", "names"),
    [
        ("fit=0.5,val=0.5", {"fit", "val"}),
        ("fit=0.5,validation=0.5", {"fit", "val"}),
        ("val=0.5,validation=0.5", {"val", "validation"}),
        ("VAL=0.5,validation=0.5", {"VAL", "validation"}),
    ],
)
def test_parts_of_a_resplit_have_their_own_lists(
    fractions: str, names: set[str], exportable: Path, tmp_path: Path
) -> None:
    run_export(exportable, "retrieval", tmp_path / "out", resplit=Resplit.parse(fractions))
    assert set(texts(tmp_path / "out")) == {f"{name}_{role}.json" for name in names for role in ("query", "gallery")}


@pytest.mark.parametrize(
    ("subset", "resplit"),
    [
        ({}, None),
        ({"style": "1-", "split": "train"}, None),
        ({"category": ["shorts", "trousers"]}, None),
        ({}, Resplit.parse("fit=0.6,held=0.4")),
    ],
)
def test_ingestion_confirms_that_the_lists_agree_with_the_annotations(
    subset: dict[str, Any], resplit: Resplit | None, exportable: Path, tmp_path: Path
) -> None:
    lists = run_export(exportable, "retrieval", tmp_path / "lists", subset=subset, resplit=resplit)
    run_export(exportable, "deepfashion2", tmp_path / "annotations", subset=subset, resplit=resplit)
    seen = 0
    for part, counts in lists.counts.items():
        if not counts["items"]:
            continue
        name = "val" if part == "validation" else part
        source = (tmp_path / "annotations" / part).rename(tmp_path / "validation")
        paths = [str(tmp_path / "lists" / f"{name}_{role}.json") for role in ("query", "gallery")]
        report = ingest("validation", str(source), str(tmp_path / f"registry-{part}"), retrieval=paths, jobs=1)
        assert (report.bad_files, notices_of(report)) == ([], [])
        actual = (
            registry.open(str(tmp_path / f"registry-{part}")).sql("SELECT count(*) FROM retrieval_lists").fetchall()
        )
        assert actual == [(counts["queries"] + counts["gallery"],)]
        seen += counts["items"]
        source.rename(tmp_path / f"done-{part}")
    assert seen == sum(counts["items"] for counts in lists.counts.values()) > 0


def test_a_number_that_an_offset_would_make_ambiguous_is_refused(tmp_path: Path) -> None:
    for split in ("train", "validation"):
        folder = write_split(tmp_path / split, {1_000_001: annotation([item(1, 1)], "user", 1)})
        ingest(split, str(folder), str(tmp_path / "r"), jobs=1)
    run_export(tmp_path / "r", "retrieval", tmp_path / "apart")
    with pytest.raises(UsageError, match=r"The number 1000001 of (train|validation) cannot be told from"):
        run_export(tmp_path / "r", "retrieval", tmp_path / "out", resplit=Resplit.parse("a=0.5,b=0.5"))
    assert not (tmp_path / "out").exists()


def lists(folder: Path, name: str = "val") -> tuple[list[Any], list[Any]]:
    """Return the records of the query list and of the gallery list."""
    queries, gallery = (json.loads((folder / f"{name}_{role}.json").read_bytes()) for role in ("query", "gallery"))
    return queries, gallery


def all_items(folder: Path, source: str) -> list[dict[str, Any]]:
    """Return all validation items of a source in the form of the lists, by SQL alone."""
    role = "query" if source == "user" else "gallery"
    rows = registry.open(str(folder)).sql(
        f"SELECT image_id AS {role}_image_id, [x1, y1, x2, y2] AS bbox, category_id AS cls, style, pair_id "
        "FROM items WHERE split = 'validation' AND source = $source ORDER BY image_id, item_order",
        {"source": source},
    )
    return rows.to_arrow_table().to_pylist()


def detect(folder: Path) -> list[dict[str, Any]]:
    """Return a submission for all consumer items: their boxes, and right answers at rank 1 to 4 for items of a style.

    Items of style 0 are detected with higher scores than the others, and answered with shop items of other clothes.
    """
    shops = all_items(folder, "shop")
    submission = []
    for number, item_row in enumerate(all_items(folder, "user")):
        wrong = [shop for shop in shops if shop["pair_id"] != item_row["pair_id"]]
        of_group = [shop for shop in shops if shop["pair_id"] == item_row["pair_id"]]
        right = [shop for shop in of_group if 0 < shop["style"] == item_row["style"]]
        first = number // 2 % 4
        ranked = [*wrong[:first], *right[:1], *wrong[first:]][:20]
        submission.append(
            {
                "query_image_id": item_row["query_image_id"],
                "query_bbox": item_row["bbox"],
                "query_cls": item_row["cls"],
                "query_score": 0.5 if item_row["style"] else 0.9,
                "gallery_image_id": [shop["gallery_image_id"] for shop in ranked],
                "gallery_bbox": [shop["bbox"] for shop in ranked],
            }
        )
    return submission


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a registry whose consumers wear two garments of a category, the unmatched one over the matched one."""
    folder = tmp_path_factory.mktemp("crowded")
    annotations: dict[int | str, Any] = {}
    for pair_id in range(1, 9):
        matched = item(1, 1, bounding_box=[10, 10, 110, 110])
        unmatched = item(1, 0, bounding_box=[20, 20, 120, 120])
        annotations[2 * pair_id - 1] = annotation([matched, unmatched], "user", pair_id)
        # The shop items of the pair_ids 7 and 8 are other clothes, so that two queries have no counterpart.
        annotations[2 * pair_id] = annotation([item(1, 1 if pair_id < 7 else 0)], "shop", pair_id)
    ingest("validation", str(write_split(folder / "validation", annotations)), str(folder / "r"), jobs=1)
    return folder / "r"


def test_a_submission_scores_the_same_against_the_ground_truth_and_against_all_items(
    crowded: Path, tmp_path: Path
) -> None:
    submission = detect(crowded)
    run_export(crowded, "retrieval", tmp_path / "truth", ground_truth=True)
    manifest = run_export(crowded, "retrieval", tmp_path / "answerable", ground_truth=True, answerable=True)
    run_export(crowded, "retrieval", tmp_path / "queries", answerable=True)
    assert lists(tmp_path / "truth") == (
        all_items(crowded, "user"),
        [{name: value for name, value in row.items() if name != "cls"} for row in all_items(crowded, "shop")],
    )
    with pytest.raises(AssertionError, match="no counterpart"):  # as the official script, on all items too
        hits(submission, *lists(tmp_path / "truth"))
    answerable = {row["pair_id"] for row in all_items(crowded, "shop") if row["style"]}
    of_answerable = [row if row["pair_id"] in answerable else row | {"style": 0} for row in all_items(crowded, "user")]
    expected = hits(submission, of_answerable, all_items(crowded, "shop"))
    assert expected == ({1: 2, 5: 6, 10: 6, 20: 6}, 6)
    assert hits(submission, *lists(tmp_path / "answerable")) == expected
    # The list of queries alone has no row for the detections of unmatched clothes: they displace the right ones.
    assert hits(submission, *lists(tmp_path / "queries")) == ({1: 0, 5: 0, 10: 0, 20: 0}, 6)
    assert manifest.counts["validation"] == {
        "images": 16, "items": 24, "queries": 6, "gallery": 8, "consumer_items": 16, "queries_without_answer": 0,
    }  # fmt: skip
    assert "2 queries are listed with style 0 and so not scored: no counterpart in the gallery" in (manifest.notices)


def test_answerable_queries_have_a_counterpart_in_the_whole_gallery(drawn_registry: Path, tmp_path: Path) -> None:
    plain = run_export(drawn_registry, "retrieval", tmp_path / "all")
    number = sum(counts["queries_without_answer"] for counts in plain.counts.values())
    assert number > 0
    assert any(notice.startswith(f"{number} quer") and "--answerable" in notice for notice in plain.notices)
    for options in ({}, {"ground_truth": True}):
        out = tmp_path / str(options)
        manifest = run_export(drawn_registry, "retrieval", out, answerable=True, **options)
        for name in ("train", "val"):
            queries, gallery = lists(out, name)
            identities = {(row["pair_id"], row["style"]) for row in gallery if row["style"]}
            assert {(row["pair_id"], row["style"]) for row in queries if row["style"]} <= identities
            assert gallery == lists(tmp_path / "all", name)[1]
        assert [entry["number"] for entry in manifest.left_out] == [number]


def test_consumer_photos_with_some_of_their_items_alone_are_counted(crowded: Path, tmp_path: Path) -> None:
    notice = (
        "8 consumer photos have only some of the items in the ground truth, and the scorer gives them the detections "
        "of the others: --whole-images lists all"
    )
    part = run_export(crowded, "retrieval", tmp_path / "part", subset={"style": "1-"}, ground_truth=True)
    assert notice in part.notices
    subset = {"style": "1-", "whole_images": True}
    whole = run_export(crowded, "retrieval", tmp_path / "whole", subset=subset, ground_truth=True)
    assert not any("--whole-images" in text for text in whole.notices)
