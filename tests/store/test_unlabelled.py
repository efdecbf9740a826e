"""Photos without annotation: a re-split leaves them out, with a notice, unless --split asks for them."""

from __future__ import annotations

from typing import Any

import pytest

from registry.store.registry import Registry
from registry.store.selection import Selection
from registry.subset.options import Subset
from registry.subset.resplit import Resplit

NOTICE = (
    "2 photos of test have no annotation and are in no part: "
    "--split train --split validation --split test puts such photos into parts too"
)
EVERY_SPLIT = ["train", "validation", "test"]


def divided(df2: Registry, **options: Any) -> Selection:
    return df2.select(Subset.of(**options), resplit=Resplit.parse("fit=0.5,held=0.5"))


@pytest.mark.parametrize(
    ("options", "num_images", "notices"),
    [
        ({}, 7, [NOTICE]),
        ({"whole_images": True}, 7, [NOTICE]),
        ({"whole_images": True, "sample": "100"}, 7, [NOTICE]),
        (
            {"image_id": 1},
            2,
            [NOTICE.replace("2 photos of test have no annotation and are", "1 photo of test has no annotation and is")],
        ),
        ({"split": EVERY_SPLIT}, 9, []),
        ({"split": "test"}, 2, []),
        ({"split": ["train", "validation"]}, 7, []),
        ({"source": ["user", "shop"]}, 7, []),
        ({"style": "0-"}, 7, []),
    ],
)
def test_a_division_holds_photos_without_annotation_only_where_their_split_is_named(
    df2: Registry, options: dict[str, Any], num_images: int, notices: list[str]
) -> None:
    selection = divided(df2, **options)
    assert sum(selection.counts(part)["images"] for part in selection.parts) == num_images
    assert sum(row["num_images"] for row in selection.balance) == num_images
    assert selection.notices == notices
    assert selection.sql("SELECT count(*) FROM images").fetchall() == [(num_images,)]


def test_without_a_division_photos_without_annotation_stay(df2: Registry) -> None:
    selection = df2.select()
    assert {part.name: selection.counts(part)["images"] for part in selection.parts} == {
        "train": 5,
        "validation": 2,
        "test": 2,
    }
    assert selection.notices == []


def test_a_sample_counts_only_photos_that_can_be_chosen(df2: Registry) -> None:
    for seed in range(5):
        selection = divided(df2, whole_images=True, sample="4", seed=seed)
        assert sum(selection.counts(part)["images"] for part in selection.parts) == 4
