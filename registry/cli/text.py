"""Texts from data and from the system on their way to a terminal."""

from __future__ import annotations

import unicodedata

try:
    from registry.redaction import printable  # type: ignore[attr-defined,unused-ignore]
except ImportError:

    def printable(text: str) -> str:
        """Return a text with its control characters escaped: a terminal obeys them, and a newline forges lines."""
        if text.isprintable():
            return text
        return "".join(_escaped(character) for character in text)

    def _escaped(character: str) -> str:
        if character.isprintable() or unicodedata.category(character) in ("Zs", "Co", "Cn"):
            return character
        return character.encode("unicode_escape").decode("ascii")


def printable_lines(text: str) -> str:
    """Return a text of several lines, which stay, with all other control characters but tabs escaped."""
    return "\n".join("\t".join(map(printable, line.split("\t"))) for line in text.split("\n"))


__all__ = ["printable", "printable_lines"]
