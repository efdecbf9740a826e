"""Entries in arrays: the same as a list of them, whatever the names and their order."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.dataset.file_names import PHOTO_SUFFIXES, number_in
from registry.sources.build_listing import build_listing
from registry.sources.entries import Entry, NamePlaces, RangePlaces, StoredPlaces
from registry.sources.listing import Kind

_PHOTO = st.from_regex(r"\A[0-9]{1,9}\.(jpg|JPG|jpeg|png|webp)\Z")


@given(st.lists(_PHOTO, max_size=30))
def test_photos_are_listed_by_number_and_the_first_name_of_each(names: list[str]) -> None:
    files: list[tuple[Kind, str, object, int, None]] = [
        ("image", name, (k, 2 * k), 2 * k, None) for k, name in enumerate(names)
    ]
    expected: dict[int, Entry] = {}
    for _, name, locator, size, _ in files:
        image_id = number_in(name, PHOTO_SUFFIXES)
        assert image_id is not None
        if image_id not in expected or name < expected[image_id].name:
            expected[image_id] = Entry(image_id, name, locator, size)
    for new_places in (RangePlaces, StoredPlaces):
        listing = build_listing("train", files, new_places)
        assert list(listing.photos) == [expected[image_id] for image_id in sorted(expected)]
        assert len(listing.issues) == len(names) - len(expected)
        assert not listing.annotations
    photos = build_listing("train", files, NamePlaces).photos
    assert [entry.locator for entry in photos] == [expected[image_id].name for image_id in sorted(expected)]


def test_entries_are_a_sequence() -> None:
    photos = build_listing("train", [("image", f"{k}.jpg", None, k, None) for k in (30, 10, 20)]).photos
    entries = [Entry(k, f"{k}.jpg", None, k) for k in (10, 20, 30)]
    assert list(photos) == entries == [photos[0], photos[1], photos[-1]]
    assert photos[1:] == entries[1:]
    assert photos.find([20, 7, 1 << 40, -1]) == [entries[1], None, None, None]
    assert photos.missing([10, 31]) == [31]
    assert list(pickle.loads(pickle.dumps(photos))) == entries
    with pytest.raises(IndexError):
        photos[3]


def test_photos_without_annotations_and_annotations_without_photos_are_told_apart() -> None:
    files: list[tuple[Kind, str, None, None, None]] = [("image", f"{k}.jpg", None, None, None) for k in (1, 2, 3)]
    listing = build_listing("train", [*files, *[("annos", f"{k}.json", None, None, None) for k in (2, 4)]])  # type: ignore[list-item]
    assert [entry.name for entry in listing.photos.not_in(listing.annotations)] == ["1.jpg", "3.jpg"]
    assert [entry.name for entry in listing.annotations.not_in(listing.photos)] == ["4.json"]
