"""Numbers in messages."""

from __future__ import annotations

import pytest

from registry.wording import counted, plural, sentence, size


@pytest.mark.parametrize(
    ("number", "nouns", "expected"),
    [
        (0, ("file",), "0 files"),
        (1, ("file",), "1 file"),
        (2, ("file",), "2 files"),
        (191_961, ("image",), "191,961 images"),
        (1, ("category", "categories"), "1 category"),
        (13, ("category", "categories"), "13 categories"),
    ],
)
def test_a_count_takes_the_singular_for_one_only(number: int, nouns: tuple[str, ...], expected: str) -> None:
    assert plural(number, *nouns) == expected


@pytest.mark.parametrize(
    ("nouns", "singular"),
    [
        ("items of style 0 in train", "item of style 0 in train"),
        ("boxes", "box"),
        ("queries of validation", "query of validation"),
        ("hard negatives of train", "hard negative of train"),
        ("gallery", "gallery"),
    ],
)
def test_a_phrase_in_the_plural_has_a_singular(nouns: str, singular: str) -> None:
    assert counted(1, nouns) == f"1 {singular}"
    assert counted(2_000, nouns) == f"2,000 {nouns}"
    assert counted(0, nouns) == f"0 {nouns}"


@pytest.mark.parametrize(
    ("number", "predicate", "expected"),
    [
        (1, "have no area", "1 box has no area"),
        (2, "have no area", "2 boxes have no area"),
        (1, "were cut", "1 box was cut"),
        (1_000, "reach out: cut", "1,000 boxes reach out: cut"),
        (1, "no box to speak of", "1 box: no box to speak of"),
    ],
)
def test_a_sentence_has_the_number_of_its_noun(number: int, predicate: str, expected: str) -> None:
    assert sentence(number, "boxes", predicate) == expected


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1_000, "1 kB"),
        (1_536, "1.54 kB"),
        (999_499, "999 kB"),
        (999_600, "1 MB"),
        (512_000_000, "512 MB"),
        (4_200_000_000, "4.2 GB"),
        (2_500_000_000_000, "2.5 TB"),
    ],
)
def test_a_size_has_the_unit_that_keeps_it_short(number: int, expected: str) -> None:
    assert size(number) == expected
