"""The checks of photos and the view similar_photos, over rows of VALUES."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.dataset.checks import load_checks
from tests.databases import declared_database, rows_of

#: Columns of the pairs that duplicate-picture and near-duplicate-picture return.
PAIR = "split image_id other_split other_image_id kind distance source other_source pair_id other_pair_id"


@pytest.fixture
def database() -> Iterator[duckdb.DuckDBPyConnection]:
    with declared_database() as connection:
        yield connection


def check(connection: duckdb.DuckDBPyConnection, name: str, **tables: str) -> list[tuple[Any, ...]]:
    """Fill tables with VALUES and return the rows of a check, sorted by all columns."""
    return rows_of(connection, f"({load_checks()[name].sql})", **tables)


IMAGES = """(split, image_id, source, pair_id, width, height, orientation) VALUES
    ('train', 1, 'user', 7, 468, 624, 1),
    ('train', 2, 'user', 7, 468, 624, NULL),
    ('train', 3, 'shop', 7, 127, 624, 6),
    ('train', 4, 'shop', 8, NULL, NULL, NULL),
    ('test', 1, NULL, NULL, 468, 128, NULL),
    ('test', 2, NULL, NULL, 468, 624, NULL),
    ('validation', 1, 'shop', 7, 468, 624, NULL)"""
PHOTOS = "(split, image_id, sha256, dhash) VALUES"

#: Kind -> the photo beside train 1, or beside test 1.
KINDS = {
    "within a pair_id": ("train", 2),
    "user and shop": ("train", 3),
    "two pair_ids": ("train", 4),
    "across splits": ("validation", 1),
    "unknown": ("test", 2),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["duplicate-picture", "near-duplicate-picture"])
def test_pairs_of_photos_are_told_apart_by_kind(database: duckdb.DuckDBPyConnection, name: str, kind: str) -> None:
    split, image_id = KINDS[kind]
    first = "test" if kind == "unknown" else "train"
    is_same = name == "duplicate-picture"
    photos = f"{PHOTOS} ('{first}', 1, 'a', 255), ('{split}', {image_id}, '{'a' if is_same else 'b'}', 255 - 15)"
    rows = check(database, name, images=IMAGES, photos=photos)
    assert [row[:6] for row in rows] == [(first, 1, split, image_id, kind, 0 if is_same else 4)]
    other = "near-duplicate-picture" if is_same else "duplicate-picture"
    assert check(database, other) == []


@pytest.mark.parametrize("name", ["duplicate-picture", "near-duplicate-picture"])
def test_different_photos_pass(database: duckdb.DuckDBPyConnection, name: str) -> None:
    photos = f"{PHOTOS} ('train', 1, 'a', 0), ('train', 2, 'b', 31), ('train', 3, NULL, NULL), ('train', 4, NULL, NULL)"
    assert check(database, name, images=IMAGES, photos=photos) == []

    assert database.sql("SELECT * FROM similar_photos").fetchall() == []


def test_photos_of_the_same_bytes_are_pairs_though_they_cannot_be_decoded_or_have_no_image(
    database: duckdb.DuckDBPyConnection,
) -> None:
    photos = f"{PHOTOS} ('train', 1, 'a', NULL), ('train', 99, 'a', NULL)"
    rows = check(database, "duplicate-picture", images=IMAGES, photos=photos)
    assert [dict(zip(PAIR.split(), row, strict=True)) for row in rows] == [
        {
            "split": "train", "image_id": 1, "other_split": "train", "other_image_id": 99, "kind": "unknown",
            "distance": 0, "source": "user", "other_source": None, "pair_id": 7, "other_pair_id": None,
        }
    ]  # fmt: skip


def near_pairs(hashes: list[int]) -> set[tuple[int, int, int]]:
    """Return (image_id, other image_id, distance) of all near duplicates, found by comparing each with each."""
    return {
        (k, other, distance)
        for k, first in enumerate(hashes)
        for other, second in enumerate(hashes)
        if k < other and (distance := (first ^ second).bit_count()) <= 4
    }


_HASH = st.integers(-(2**63), 2**63 - 1)
_FLIPS = st.lists(st.integers(0, 63), max_size=6, unique=True)


@given(st.lists(_HASH, min_size=1, max_size=3), st.lists(st.tuples(st.integers(0, 2), _FLIPS), max_size=15))
def test_bands_find_exactly_the_pairs_that_comparing_all_finds(
    centres: list[int], changes: list[tuple[int, list[int]]]
) -> None:
    hashes = [*centres]
    for number, flips in changes:
        bits = centres[number % len(centres)] & (2**64 - 1)
        for flip in flips:
            bits ^= 1 << flip
        hashes.append(bits - (bits >> 63 << 64))
    values = ", ".join(f"('train', {k}, 'sha {k}', {number})" for k, number in enumerate(hashes))
    with declared_database() as connection:
        rows = check(connection, "near-duplicate-picture", photos=f"{PHOTOS} {values}")
    assert {(row[1], row[3], row[5]) for row in rows} == {
        (k, other, (hashes[k] % 2**64 ^ hashes[other] % 2**64).bit_count())
        for k, other, _ in near_pairs([number % 2**64 for number in hashes])
    }
    assert len(rows) == len({row[:4] for row in rows})


def test_very_many_equal_photos_are_compared_with_the_first_of_their_split_alone(
    database: duckdb.DuckDBPyConnection,
) -> None:
    same = f"{PHOTOS[:-7]} SELECT split, image_id, 'a', 0 FROM (VALUES ('train'), ('test')) AS s(split), "
    database.execute(f"INSERT INTO photos {same} range(1, 2001) AS numbers(image_id)")
    rows = check(database, "duplicate-picture")
    assert len(rows) == 2 * 1999 + 1
    assert ("test", 1, "train", 1) in {row[:4] for row in rows}
    assert check(database, "near-duplicate-picture") == []
    database.execute("UPDATE photos SET sha256 = split || image_id")
    assert [row[:4] for row in check(database, "near-duplicate-picture")] == [row[:4] for row in rows]


def test_a_hash_that_resembles_very_many_others_is_compared_with_its_nearest_alone(
    database: duckdb.DuckDBPyConnection,
) -> None:
    chance = random.Random(0)
    hashes = {sum(1 << bit for bit in chance.sample(range(64), 2)) for _ in range(1500)}
    values = ", ".join(f"('train', {k}, 'sha {k}', {bits - (bits >> 63 << 64)})" for k, bits in enumerate(hashes))
    rows = check(database, "near-duplicate-picture", photos=f"{PHOTOS} {values}")
    assert {image_id for row in rows for image_id in (row[1], row[3])} == set(range(len(hashes)))  # each is told
    assert len(rows) <= 20 * len(hashes) < len(near_pairs(list(hashes)))


PHOTO_COLUMNS = "(split, image_id, sha256, dhash, width, height, orientation, brightness, brightness_spread, sharpness)"
SOUND = "('train', 1, 'a', 1, 468, 624, NULL, 32, 40, 5)"


@pytest.mark.parametrize(
    ("name", "photo", "row"),
    [
        ("unreadable-picture", "('train', 2, 'b', NULL, NULL, NULL, NULL, NULL, NULL, NULL)", ("train", 2, "b")),
        ("turned-photo", "('train', 2, 'b', 1, 468, 624, 2, 120, 40, 80)", ("train", 2, 2)),
        ("dark-picture", "('train', 2, 'b', 1, 468, 624, 1, 31.9, 40, 80)", ("train", 2, 31.9)),
        ("blurred-picture", "('train', 2, 'b', 1, 468, 624, 1, 120, 40, 4.9)", ("train", 2, 4.9, 40.0)),
        ("tiny-picture", "('train', 2, 'b', 1, 468, 127, 1, 120, 40, 80)", ("train", 2, 468, 127)),
    ],
)
def test_checks_of_single_photos_return_the_odd_ones(
    database: duckdb.DuckDBPyConnection, name: str, photo: str, row: tuple[Any, ...]
) -> None:
    assert check(database, name, photos=f"{PHOTO_COLUMNS} VALUES {SOUND}") == []
    assert check(database, name, photos=f"{PHOTO_COLUMNS} VALUES {photo}") == [row]


def test_turned_and_tiny_photos_are_known_without_the_table_photos(database: duckdb.DuckDBPyConnection) -> None:
    assert check(database, "turned-photo", images=IMAGES) == [("train", 3, 6)]
    assert check(database, "tiny-picture") == [("train", 3, 127, 624)]
