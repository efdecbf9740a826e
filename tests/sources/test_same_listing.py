"""The same files in a folder, a zip and tars are listed alike, as a few lines of Python would list them."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from registry.dataset.file_names import PHOTO_SUFFIXES
from registry.sources.locate import locate_source
from registry.sources.open import open_location
from tests.sources.packing import write_tar, write_zip

_NUMBERS = st.one_of(st.integers(1, 3), st.sampled_from([1_000_000, 999_999_999, 1_000_000_000]))
_STEMS = st.builds(str.__mod__, st.sampled_from(["%06d", "%d", "%07d", "x%d", ".%d", "\u0663%d"]), _NUMBERS)
_ANNOTATIONS = st.builds(str.__add__, _STEMS, st.sampled_from([".json", ".JSON", ".json.bak", ".jpg"]))
_PHOTOS = st.builds(str.__add__, _STEMS, st.sampled_from([".jpg", ".JPG", ".jpeg", ".png", ".webp", ".gif", ".json"]))


def expected(names: set[str], suffixes: tuple[str, ...]) -> list[str]:
    """Return the first name of each number of at most nine digits, by number."""
    names_of: dict[int, list[str]] = {}
    for name in names:
        number, _, suffix = name.rpartition(".")
        if number.isascii() and number.isdecimal() and len(number) <= 9 and suffix.lower() in suffixes:
            names_of.setdefault(int(number), []).append(name)
    return [min(names_of[number]) for number in sorted(names_of)]


@settings(max_examples=50)
@given(annotations=st.sets(_ANNOTATIONS, max_size=5), photos=st.sets(_PHOTOS, max_size=5), random=st.randoms())
def test_a_folder_a_zip_and_tars_of_the_same_files_are_listed_alike(
    tmp_path_factory: pytest.TempPathFactory, annotations: set[str], photos: set[str], random: Random
) -> None:
    assume(annotations or photos)
    members = {f"train/annos/{name}": name.encode() for name in annotations}
    members |= {f"train/image/{name}": name.encode() for name in photos}
    names = sorted(members)
    random.shuffle(names)
    members = {name: members[name] for name in names}
    root = tmp_path_factory.mktemp("same")
    for name, data in members.items():
        path = root / "folder" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    places = [
        root / "folder",
        write_zip(root / "a.zip", members),
        *(write_tar(root / name, members) for name in ("a.tar", "a.tgz")),
    ]
    oddities = []
    for place in places:
        source = open_location(locate_source(str(place), "train"), "train")
        listing = source.list_files("train", photos=True)
        assert [entry.name for entry in listing.annotations] == expected(annotations, ("json",))
        assert [entry.name for entry in listing.photos] == expected(photos, PHOTO_SUFFIXES)
        if listing.annotations:
            assert [*source.read(listing.annotations)] == [entry.name.encode() for entry in listing.annotations]
        oddities.append((sorted(map(str, listing.issues)), sorted(listing.notices)))
    assert oddities == oddities[:1] * len(places)
