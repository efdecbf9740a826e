"""The facts of the dataset."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from registry.dataset.deepfashion2 import (
    ATTRIBUTE_CODES,
    CATEGORIES,
    CATEGORY_BY_ID,
    LANDMARK_SLOTS,
    NUM_LANDMARK_SLOTS,
    SKELETON,
    find_category,
    find_split,
)
from registry.errors import UnknownNameError


def test_there_are_13_categories_with_294_landmarks_in_contiguous_slots() -> None:
    assert [category.id for category in CATEGORIES] == list(range(1, 14))
    assert [c.num_landmarks for c in CATEGORIES] == [25, 33, 31, 39, 15, 15, 10, 14, 8, 29, 37, 19, 19]
    assert [c.landmark_offset for c in CATEGORIES] == [0, 25, 58, 89, 128, 143, 158, 168, 182, 190, 219, 256, 275]
    assert NUM_LANDMARK_SLOTS == len(LANDMARK_SLOTS) == sum(c.num_landmarks for c in CATEGORIES) == 294
    assert len(CATEGORY_BY_ID) == len({c.name for c in CATEGORIES}) == len({c.coco_name for c in CATEGORIES}) == 13


def test_slots_are_numbered_in_order_within_their_categories() -> None:
    assert [slot.slot for slot in LANDMARK_SLOTS] == list(range(294))
    for slot in LANDMARK_SLOTS:
        category = CATEGORY_BY_ID[slot.category_id]
        assert slot.slot == category.landmark_offset + slot.landmark_no - 1
        assert 1 <= slot.landmark_no <= category.num_landmarks


def test_swaps_are_their_own_inverse_and_stay_within_a_category() -> None:
    for slot in LANDMARK_SLOTS:
        other = LANDMARK_SLOTS[slot.swap_slot]
        assert other.swap_slot == slot.slot
        assert other.category_id == slot.category_id


def test_sides_share_a_sigma_but_for_three_swaps_as_published() -> None:
    unequal = {
        (slot.category_id, slot.landmark_no, LANDMARK_SLOTS[slot.swap_slot].landmark_no)
        for slot in LANDMARK_SLOTS
        if slot.swap_slot > slot.slot and LANDMARK_SLOTS[slot.swap_slot].oks_sigma != slot.oks_sigma
    }
    assert unequal == {(3, 2, 26), (3, 4, 6), (11, 15, 29)}


def test_landmark_9_of_the_vest_swaps_with_13() -> None:
    vest = {slot.landmark_no: slot for slot in LANDMARK_SLOTS if slot.category_id == 5}
    assert vest[9].swap_slot == vest[13].slot
    assert vest[13].swap_slot == vest[9].slot


def test_few_landmarks_lie_on_the_centre_line() -> None:
    centre: dict[int, list[int]] = {c.id: [] for c in CATEGORIES}
    for slot in LANDMARK_SLOTS:
        if slot.swap_slot == slot.slot:
            centre[slot.category_id].append(slot.landmark_no)
    assert centre == {1: [1, 4, 16], 2: [1, 4, 20], 3: [1], 4: [1], 5: [1, 4, 11], 6: [1, 4, 11], 7: [2, 7],
                      8: [2, 9], 9: [2, 6], 10: [1, 4, 18], 11: [1, 4, 22], 12: [1, 4, 13], 13: [1, 4, 13]}  # fmt: skip


def test_there_is_a_sigma_above_zero_for_every_slot() -> None:
    sigmas = [slot.oks_sigma for slot in LANDMARK_SLOTS]
    assert len(sigmas) == 294
    assert all(0 < sigma < 0.1 for sigma in sigmas)
    assert sum(sigmas) == pytest.approx(11.519, abs=1e-9)


@pytest.fixture(scope="module")
def reference(real_samples: Path) -> dict[str, Any]:
    """Return the published landmark list, which lies next to the real samples."""
    actual: dict[str, Any] = json.loads((real_samples.parent / "landmarks.json").read_bytes())
    return actual


def test_landmarks_are_named_by_category_and_number() -> None:
    names = [slot.name for slot in LANDMARK_SLOTS]
    assert len(set(names)) == 294
    assert [names[slot] for slot in (0, 24, 25, 128, 293)] == [
        "sss_kpt1", "sss_kpt25", "lss_kpt1", "vest_kpt1", "sd_kpt19",
    ]  # fmt: skip
    assert all(slot.name.endswith(f"_kpt{slot.landmark_no}") for slot in LANDMARK_SLOTS)


def test_names_are_those_of_the_reference(reference: dict[str, Any]) -> None:
    assert [(slot.slot, slot.name) for slot in LANDMARK_SLOTS] == [
        (keypoint["slot"], keypoint["name"]) for keypoint in reference["keypoints"]
    ]


def test_links_are_those_of_the_reference_in_its_order(reference: dict[str, Any]) -> None:
    links = [
        [LANDMARK_SLOTS[CATEGORY_BY_ID[category_id].landmark_offset + number - 1].name for number in link]
        for category_id, category_links in SKELETON.items()
        for link in category_links
    ]
    assert links == reference["skeleton"]


def test_links_join_all_landmarks_of_a_category_and_no_two_twice() -> None:
    assert list(SKELETON) == list(CATEGORY_BY_ID)
    assert [len(links) for links in SKELETON.values()] == [26, 34, 32, 40, 16, 16, 10, 14, 8, 30, 38, 20, 20]
    for category_id, links in SKELETON.items():
        numbers = set(range(1, CATEGORY_BY_ID[category_id].num_landmarks + 1))
        assert {number for link in links for number in link} == numbers
        assert len({frozenset(link) for link in links}) == len(links)
        assert all(start != end for start, end in links)


def test_the_links_of_a_mirrored_item_are_the_same_links() -> None:
    for category_id, links in SKELETON.items():
        swap = {
            slot.landmark_no: LANDMARK_SLOTS[slot.swap_slot].landmark_no
            for slot in LANDMARK_SLOTS
            if slot.category_id == category_id
        }
        mirrored = {frozenset((swap[start], swap[end])) for start, end in links}
        assert mirrored == {frozenset(link) for link in links}


def test_every_attribute_has_three_codes() -> None:
    assert list(ATTRIBUTE_CODES) == ["scale", "occlusion", "zoom_in", "viewpoint"]
    assert all(list(codes) == [1, 2, 3] and all(codes.values()) for codes in ATTRIBUTE_CODES.values())


@pytest.mark.parametrize("given", [9, "9", "skirt", "SKIRT", " skirt "])
def test_a_category_is_found_by_id_and_name(given: str | int) -> None:
    assert find_category(given) is CATEGORY_BY_ID[9]


def test_a_category_is_found_by_the_converters_name() -> None:
    for category in CATEGORIES:
        assert find_category(category.coco_name) is find_category(category.name) is category
        assert find_category(category.name.replace(" ", "-")) is category


@pytest.mark.parametrize(
    ("given", "hint"),
    [("skrt", " Did you mean 'skirt'?"), ("Trouser", " Did you mean 'trousers'?"), (14, ""), ("", "")],
)
def test_an_unknown_category_is_answered_with_all_of_them_and_the_nearest(given: str | int, hint: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        find_category(given)
    assert str(caught.value) == f"Unknown category {given!r}.{hint} There is: {', '.join(c.name for c in CATEGORIES)}."


def test_an_unknown_split_is_answered_with_the_three() -> None:
    assert [find_split(name) for name in ("train", "validation", "test")] == ["train", "validation", "test"]
    with pytest.raises(UnknownNameError) as caught:
        find_split("valid")
    assert str(caught.value) == "Unknown split 'valid'. Did you mean 'validation'? There is: train, validation, test."
