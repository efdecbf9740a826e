"""Numbers in messages."""

from __future__ import annotations

import pytest

from registry.wording import plural


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
