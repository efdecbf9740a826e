"""The options of a subset and its canonical text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.cli.main import main
from registry.dataset.deepfashion2 import ATTRIBUTE_CODES, CATEGORIES, SOURCES, SPLITS
from registry.errors import NotFoundError, UnknownNameError, UsageError
from registry.subset.options import OPTIONS, Subset
from registry.subset.params import load_subset


def test_values_of_every_kind_become_canonical() -> None:
    subset = Subset.of(
        split=["validation", "train"],
        category=["skirt", 1, "vest_dress"],
        source="shop",
        scale="small",
        occlusion="1-2",
        zoom_in=[3, "none"],
        viewpoint="side or back",
        style=["1-", 1],
        pair_id="7-9",
        image_id=[3, "1-2", "000010"],
        has_landmarks=True,
        min_box_area=100,
        where="  x2 > x1 ",
        paired=True,
        whole_images=True,
        sample="10.0%",
        seed=3,
        limit=5,
    )
    assert subset.to_dict() == {
        "split": ["train", "validation"],
        "category": ["short sleeve top", "skirt", "vest dress"],
        "source": ["shop"],
        "scale": [1],
        "occlusion": [1, 2],
        "zoom_in": [1, 3],
        "viewpoint": [3],
        "style": ["1-"],
        "pair_id": ["7-9"],
        "image_id": ["1-3", 10],
        "has_landmarks": True,
        "min_box_area": 100.0,
        "where": "x2 > x1",
        "paired": True,
        "whole_images": True,
        "sample": "10%",
        "seed": 3,
        "limit": 5,
    }
    assert Subset.of(**subset.to_dict()) == subset
    assert json.loads(subset.text) == subset.to_dict()


def test_the_command_line_has_every_option_of_the_table() -> None:
    declared = {name.replace("_", "-"): option for name, option in OPTIONS.items()}
    offered = {parameter.opts[0].removeprefix("--"): parameter for parameter in main.commands["subset"].params}
    assert [name for name in offered if name in declared] == list(declared)
    for name, option in declared.items():
        parameter = offered[name]
        assert isinstance(parameter, click.Option)
        assert parameter.is_flag == (option.default is False)
        assert parameter.multiple == (option.default == ())
        assert (parameter.help or "").startswith(option.help)
    assert set(offered) - set(declared) == {"subset", "params", "table", "resplit", "stratify", "format", "-o"}


def test_equal_subsets_have_equal_digests_however_they_are_written() -> None:
    first = Subset.of(category=["skirt", "vest"], occlusion=[1, 2], image_id=["1-5"])
    second = Subset.of(occlusion=["slight or none", "medium"], image_id=[5, "1-4"], category=(5, "9"))
    assert first.digest == second.digest
    assert first.digest != Subset.of(category="skirt").digest
    # A seed without a sample changes nothing.
    assert Subset.of(seed=7).text == Subset().text == "{}"


def test_empty_values_are_left_out() -> None:
    assert Subset.of(category=[], split=None, where="", image_id=()) == Subset()
    assert Subset.of(limit=0).to_dict() == {"limit": 0}


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("33.33333333%", "33.33333333%"), ("0.00001%", "0.00001%"), ("010.50%", "10.5%"), ("100.000%", "100%"),
        ("0%", "0%"), ("00%", "0%"), ("007", "7"), ("0.1234567890123456789%", "0.1234567890123456789%"), (12, "12"),
    ],
)  # fmt: skip
def test_a_sample_is_kept_exactly_and_reads_back_equal(written: Any, canonical: str) -> None:
    subset = Subset.of(sample=written)
    assert subset.to_dict() == {"sample": canonical}
    assert Subset.of(**json.loads(subset.text)) == subset


@pytest.mark.parametrize(
    "options",
    [
        {"sample": "100.0000001%"}, {"sample": "9" * 5000}, {"sample": "1e1%"}, {"sample": "٣%"}, {"sample": True},
        {"seed": 2**63}, {"limit": 2**63}, {"limit": 10**5000}, {"style": "9" * 5000}, {"style": 10**5000},
        {"min_box_area": 2**53 + 1}, {"min_box_area": 10**400}, {"min_box_area": float("nan")},
    ],
)  # fmt: skip
def test_a_number_that_would_not_read_back_equal_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError) as caught:
        Subset.of(**options)
    assert len(str(caught.value)) < 250


def test_a_file_lists_images(tmp_path: Path) -> None:
    listed = tmp_path / "ids.txt"
    listed.write_text("7\n000001.jpg\n\n3-5\n 000002.json \n", encoding="utf-8")
    assert Subset.of(image_id=f"@{listed}").image_id == ((1, 5), (7, 7))


def test_names_of_photos_choose_images_and_their_split(tmp_path: Path) -> None:
    listed = tmp_path / "photos.txt"
    listed.write_text("train/image/000001.jpg\ndata/train/Annotations/000002.png\ntrain_000004\n5\n", encoding="utf-8")
    expected = Subset.of(image_id=["1-2", 4, 5], split="train")
    assert Subset.of(image_id=f"@{listed}") == Subset.of(image_id=f"@{listed}", split="train") == expected
    assert Subset.of(image_id=["train/image/000001.jpg", "000002.jpg", "4-5"]) == expected


@pytest.mark.parametrize(
    ("text", "split", "message"),
    [
        (
            "train/image/000001.jpg\n\nvalidation/image/000001.jpg\n", None,
            "image_id: expected files of one split, as numbers restart in every split; found train (LIST, line 1), "
            "validation (LIST, line 3). Write a list for each split, and choose each by a subset of its own.",
        ),
        (
            "train/image/000001.jpg\n", "validation",
            "image_id names files of train, and split is validation: expected the same split.",
        ),
        ("val/image/000001.jpg\n", None, "Unknown split 'val'. Did you mean 'validation'? There is: train, "),
        (
            "train/image/first.jpg\n", None,
            "LIST, line 1: image_id 'train/image/first.jpg': expected a number, a range such as 7-9, 100- or -100, or "
            "a file such as 000001.jpg or train/image/000001.jpg.",
        ),
    ],
)  # fmt: skip
def test_names_of_photos_that_choose_no_split_are_refused(
    text: str, split: str | None, message: str, tmp_path: Path
) -> None:
    (tmp_path / "photos.txt").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        Subset.of(image_id=f"@{tmp_path}/photos.txt", split=split)
    assert str(caught.value).replace(f"{tmp_path}/photos.txt", "LIST").startswith(message)


@pytest.mark.parametrize(
    ("options", "hint"),
    [
        ({"split": "valid"}, "'validation'"), ({"split": "Train"}, "'train'"), ({"split": "training"}, "'train'"),
        ({"split": "dev"}, "'validation'"), ({"source": "consumer"}, "'user'"), ({"source": "commercial"}, "'shop'"),
        ({"category": "shirts"}, "'short sleeve top' or 'long sleeve top'"),
        ({"category": "t-shirt"}, "'short sleeve top'"), ({"category": "pants"}, "'trousers'"),
        ({"category": "tops"}, "'short sleeve top' or 'long sleeve top'"),
        ({"category": "dress"}, "'short sleeve dress' or 'long sleeve dress' or 'vest dress' or 'sling dress'"),
        ({"category": "sling_dres"}, "'sling dress'"), ({"occlusion": "none"}, "'slight or none'"),
        ({"viewpoint": "back"}, "'side or back'"), ({"columns": 1}, None),
    ],
)  # fmt: skip
def test_names_that_people_use_are_answered_with_ours(options: dict[str, Any], hint: str | None) -> None:
    with pytest.raises(UsageError) as caught:
        Subset.of(**options)
    assert hint is None or f" Did you mean {hint}? There is: " in str(caught.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"colour": "red"}, "Unknown option of a subset 'colour'"),
        ({"split": "val"}, "Unknown split 'val'. Did you mean 'validation'? There is: train, validation, test."),
        ({"category": "hat"}, "Unknown category 'hat'"),
        ({"source": "consumer"}, "Unknown source 'consumer'"),
        ({"scale": "big"}, "Unknown value of scale 'big'"),
        ({"scale": 0}, "Unknown value of scale 0. There is: 1, 2, 3, small, moderate, large."),
        ({"occlusion": "2-4"}, "Unknown value of occlusion '2-4'"),
        ({"style": "a"}, "style 'a': expected a number or a range such as 7, 7-9, 100- or -100."),
        ({"pair_id": "-"}, "pair_id '-': expected a number or a range"),
        ({"pair_id": "9-7"}, "pair_id '9-7': expected the lower number first"),
        ({"image_id": str(2**31)}, "none above 2147483647"),
        ({"min_box_area": -1}, "min_box_area: expected an area in px² of at least 0, found -1."),
        ({"min_box_area": "wide"}, "min_box_area: expected an area"),
        ({"sample": "101%"}, "sample '101%': expected a number such as 100 or a share such as 10%."),
        ({"sample": "some"}, "sample 'some'"),
        ({"limit": -1}, "limit: expected at least 0, found -1."),
        ({"limit": 1.5}, "limit: expected a whole number, found 1.5."),
        ({"paired": "yes"}, "paired: expected true or false, found 'yes'."),
        ({"where": "  "}, "where: expected an SQL condition"),
    ],
)
def test_a_wrong_value_is_refused_with_a_message(options: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Subset.of(**options)
    assert text in str(caught.value)


def test_a_list_of_images_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="there is no file"):
        Subset.of(image_id=f"@{tmp_path}/none.txt")
    listed = tmp_path / "ids.txt"
    listed.write_text("1\nfoo\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"ids\.txt, line 2: image_id 'foo': expected a number"):
        Subset.of(image_id=f"@{listed}")
    listed.write_text("\n", encoding="utf-8")
    with pytest.raises(UsageError, match="holds no number"):
        Subset.of(image_id=f"@{listed}")


def test_named_subsets_stand_in_a_file(tmp_path: Path) -> None:
    params = tmp_path / "params.yaml"
    params.write_text("subsets:\n  easy: {category: [skirt], occlusion: [1]}\n  all:\n  odd: 3\n", encoding="utf-8")
    assert load_subset("easy", params) == {"category": ["skirt"], "occlusion": [1]}
    assert load_subset("all", params) == {}
    with pytest.raises(UnknownNameError, match=r"Unknown subset in .*params\.yaml 'eazy'. Did you mean 'easy'"):
        load_subset("eazy", params)
    with pytest.raises(UsageError, match=r"subset odd: expected options such as 'category: \[skirt\]', found 3"):
        load_subset("odd", params)
    with pytest.raises(NotFoundError, match="There is no"):
        load_subset("easy", tmp_path / "none.yaml")
    for text, problem in (("a: 1", "names no subset"), ("a: [", "is not sound YAML"), ("[]", "names no subset")):
        params.write_text(text, encoding="utf-8")
        with pytest.raises(UsageError, match=problem):
            load_subset("easy", params)


_numbers = st.integers(0, 2**31 - 1)
_ranges = st.lists(st.tuples(_numbers, _numbers).map(lambda pair: f"{min(pair)}-{max(pair)}") | _numbers, max_size=4)
_options = st.fixed_dictionaries(
    {},
    optional={
        "split": st.lists(st.sampled_from(SPLITS), max_size=3),
        "category": st.lists(st.sampled_from([c.name for c in CATEGORIES]) | st.integers(1, 13), max_size=4),
        "source": st.lists(st.sampled_from(SOURCES), max_size=2),
        **{name: st.lists(st.sampled_from([*codes, *codes.values()])) for name, codes in ATTRIBUTE_CODES.items()},
        "style": _ranges,
        "pair_id": _ranges,
        "image_id": _ranges,
        "has_landmarks": st.booleans(),
        "min_box_area": st.floats(0, 1e9),
        "paired": st.booleans(),
        "whole_images": st.booleans(),
        "sample": st.integers(0, 10**6).map(str) | st.floats(0, 100).map(lambda share: f"{share:.3f}%"),
        "seed": st.integers(),
        "limit": st.integers(0, 10**6),
    },
)


@given(_options)
def test_the_canonical_options_read_back_to_the_same_subset(options: dict[str, Any]) -> None:
    subset = Subset.of(**options)
    again = Subset.of(**json.loads(subset.text))
    assert (again.text, again.digest) == (subset.text, subset.digest)
