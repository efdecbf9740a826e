"""What tests read of a page."""

from __future__ import annotations

import re

#: Elements of HTML without an end tag.
VOID = {"img", "link", "meta"}


def outline(page: str) -> list[tuple[int, str]]:
    """Return the headings of a page: level and text."""
    headings = re.findall(r"<h([1-6])[^>]*>(.*?)</h\1>", page, re.DOTALL)
    return [(int(level), re.sub(r"<[^>]+>", "", text)) for level, text in headings]
