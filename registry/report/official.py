"""The registry beside the official release."""

from __future__ import annotations

from typing import TYPE_CHECKING

from registry.report.elements import Html, bullets, element, section, table
from registry.wording import plural

if TYPE_CHECKING:
    from registry.checks.official import ReleaseComparison


def official(comparison: ReleaseComparison) -> Html:
    """Return the section on the official release."""
    rows = [
        {
            "split": row.split,
            "what": row.what,
            "registry": row.registry,
            "official": row.official,
            "difference": row.difference,
            "agrees": row.agrees,
            "published": row.source,
        }
        for row in comparison.rows
    ]
    return section(
        "release",
        "The official release",
        bullets(comparison.sentences),
        element("details", element("summary", f"All {len(rows)} numbers"), table("Registry and release", rows)),
        element(
            "details",
            element("summary", f"{plural(len(comparison.contradictions), 'place')} where published numbers disagree"),
            bullets(comparison.contradictions),
        ),
    )
