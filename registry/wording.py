"""Numbers in messages."""

from __future__ import annotations


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """Return a count with its noun: ``1 file``, ``2,000 files``.

    Args:
        number: the count.
        noun: the singular.
        nouns: the plural; ``noun`` with an ``s`` without it.
    """
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"
