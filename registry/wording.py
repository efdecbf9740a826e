"""Numbers in messages."""

from __future__ import annotations

import re
from typing import Final


def plural(number: int, noun: str, nouns: str | None = None) -> str:
    """Return a count with its noun: ``1 file``, ``2,000 files``.

    Args:
        number: the count.
        noun: the singular.
        nouns: the plural; ``noun`` with an ``s`` without it.
    """
    return f"{number:,} {noun if number == 1 else nouns or noun + 's'}"


def counted(number: int, nouns: str) -> str:
    """Return a count with a phrase in the plural: ``1 item of style 0``, ``2 items of style 0``.

    Args:
        number: the count.
        nouns: the phrase; its first word that ends with an s is the noun.
    """
    if number != 1:
        return f"{number:,} {nouns}"
    return f"1 {_PLURAL.sub(lambda match: match[1] + _SINGULAR_ENDS[match[2]], nouns, count=1)}"


def sentence(number: int, nouns: str, predicate: str) -> str:
    """Return a count, a phrase in the plural and what is said of it: ``2 boxes reach out``, ``1 box reaches out``.

    Args:
        number: the count.
        nouns: as for :func:`counted`.
        predicate: begins with a verb in the plural, one of :data:`_VERBS`; anything else follows a colon.
    """
    verb, _, rest = predicate.partition(" ")
    if verb not in _VERBS:
        return f"{counted(number, nouns)}: {predicate}"
    return f"{counted(number, nouns)} {_VERBS[verb] if number == 1 else verb} {rest}"


def size(number: int) -> str:
    """Return a number of bytes with three digits: ``1 byte``, ``812 bytes``, ``1.5 kB``, ``512 MB``, ``4.2 GB``."""
    if number < 1_000:
        return plural(number, "byte")
    units = number / 1_000
    for unit in ("kB", "MB", "GB"):
        if round(units) < 1_000:
            return f"{units:.3g} {unit}"
        units /= 1_000
    return f"{units:.3g} TB"


#: Verb in the plural -> in the singular.
_VERBS: Final = {"are": "is", "have": "has", "lie": "lies", "reach": "reaches", "were": "was"}
_SINGULAR_ENDS: Final = {"ies": "y", "xes": "x", "s": ""}
_PLURAL: Final = re.compile(r"\b(\w+?)(ies|xes|s)\b")
