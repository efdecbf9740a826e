"""A registry beside the official release: every published number with its own, and which edition each split is.

>>> from registry.checks.official import compare_with_release    # doctest: +SKIP
>>> comparison = compare_with_release(registry.open())           # doctest: +SKIP
>>> comparison.agrees, comparison.sentences                      # doctest: +SKIP
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import SPLITS
from registry.dataset.official import EDITIONS, FACTS, NOT_COMPARABLE, facts_of
from registry.store.connection import duckdb_errors
from registry.wording import plural

if TYPE_CHECKING:
    from registry.store.registry import Registry
    from registry.store.selection import Selection

#: Counts of which the release has every value, so that another value is a difference.
_LISTED: Final = re.compile(r"items of style \d+|images of \d+ items?")
#: Each gives rows of split, what and number. 'what' is written as in registry/dataset/official.py.
_COUNTS: Final = (
    """
    SELECT split, unnest([
        {'what': 'images', 'number': num_images},
        {'what': 'images of source user', 'number': if(knows_source, num_user_images, NULL)},
        {'what': 'images of source shop', 'number': if(knows_source, num_shop_images, NULL)},
        {'what': 'items', 'number': num_items},
        {'what': 'pair_ids', 'number': num_pair_ids},
        {'what': 'instance pairs', 'number': if(knows_source, num_instance_pairs, NULL)},
        {'what': 'image pairs', 'number': if(knows_source, num_image_pairs, NULL)},
        {'what': 'query items', 'number': if(knows_source, num_query_items, NULL)},
        {'what': 'gallery items', 'number': if(knows_source, num_gallery_items, NULL)}
    ], recursive := true) FROM (SELECT *, num_user_images + num_shop_images > 0 AS knows_source FROM split_counts)
    """,
    "SELECT split, 'items of category ' || category_name, num_items FROM category_counts",
    "SELECT split, 'items of style ' || style, count(*) FROM items WHERE style >= 0 GROUP BY ALL ORDER BY ALL",
    """
    SELECT split, 'items of source ' || kind, if(count(source) > 0, count(*) FILTER (source = kind), NULL)
    FROM items CROSS JOIN (VALUES ('user'), ('shop')) AS kinds (kind) GROUP BY split, kind ORDER BY ALL
    """,
    """
    SELECT split, 'images of ' || num_items || if(num_items = 1, ' item', ' items'), count(*)
    FROM images WHERE num_items > 0 GROUP BY ALL ORDER BY ALL
    """,
)


@dataclass(frozen=True, slots=True)
class Row:
    """A number of the release beside the registry's.

    Attributes:
        split: the split.
        what: what is counted.
        registry: the registry's number; None where it lacks the split, or knows no source and the number needs them.
        official: the published number; 0 for what the release does not have.
        difference: registry minus official; None where ``registry`` is.
        agrees: whether they are equal; None where ``registry`` is.
        source: where the number was published.
        contradiction: another published number, and where; empty if there is none.
    """

    split: str
    what: str
    registry: int | None
    official: int
    difference: int | None
    agrees: bool | None
    source: str
    contradiction: str


@dataclass(frozen=True, slots=True)
class ReleaseComparison:
    """A registry beside the official release.

    Attributes:
        rows: an entry for each published number, by split.
        sentences: for each split of the release, which edition it is or how it differs.
        contradictions: sentences on published numbers that contradict each other or cannot be compared.
        agrees: whether every number of the splits that the registry has agrees, and it has one at least.
    """

    rows: list[Row]
    sentences: list[str]
    contradictions: list[str]
    agrees: bool

    def records(self) -> list[dict[str, Any]]:
        """Return the rows as dictionaries."""
        return [asdict(row) for row in self.rows]


def compare_with_release(registry: Registry | Selection) -> ReleaseComparison:
    """Return a registry, or a subset of it, beside the published numbers of the release.

    Raises:
        RegistryFormatError: a file cannot be read.
    """
    with duckdb_errors():
        counted = [row for query in _COUNTS for row in registry.sql(query).fetchall()]
    return compare_counts(counted)


def compare_counts(counted: Iterable[tuple[str, str, int | None]]) -> ReleaseComparison:
    """Return counts beside the published numbers of the release.

    Args:
        counted: split, what (as in :mod:`registry.dataset.official`) and number; None for a number that is not known.
    """
    counts: dict[str, dict[str, int | None]] = {}
    for split, what, number in counted:
        counts.setdefault(split, {})[what] = number
    rows = [row for split in SPLITS for row in _rows(split, counts.get(split))]
    contradicted = [fact for fact in FACTS if fact.contradiction]
    return ReleaseComparison(
        rows,
        [_sentence(split, counts.get(split), [row for row in rows if row.split == split]) for split in SPLITS],
        [f"{fact.split}, {fact.what}: {fact.number:,} ({fact.source}); {fact.contradiction}." for fact in contradicted]
        + list(NOT_COMPARABLE),
        bool(counts) and all(row.agrees is not False for row in rows),
    )


def _rows(split: str, counts: Mapping[str, int | None] | None) -> list[Row]:
    """Return the comparison of a split; ``counts`` is None where the registry lacks it."""
    facts = facts_of(split)
    rows = []
    for fact in facts.values():
        number = None if counts is None else counts.get(fact.what, 0)
        difference = None if number is None else number - fact.number
        agrees = None if difference is None else difference == 0
        rows.append(Row(split, fact.what, number, fact.number, difference, agrees, fact.source, fact.contradiction))
    if "items" in facts:
        # Values that the release does not have, such as style 40.
        rows += [
            Row(split, what, number, 0, number, False, "the release has none", "")
            for what, number in (counts or {}).items()
            if number and what not in facts and _LISTED.fullmatch(what)
        ]
    return rows


def _sentence(split: str, counts: Mapping[str, int | None] | None, rows: Sequence[Row]) -> str:
    """Return which edition a split is, or how it differs from the release."""
    if counts is None:
        return f"{split}: there is no image of this split."
    compared = [row for row in rows if row.agrees is not None]
    differing = [row for row in compared if not row.agrees]
    if not differing:
        agree = plural(len(compared), "number agrees", "numbers agree")
        num_unknown = len(rows) - len(compared)
        unknown = f", {num_unknown} cannot be known without sources" if num_unknown else ""
        return f"{split}: the official release; {agree}{unknown}."
    for edition in EDITIONS:
        if edition.split == split and all(counts.get(what) == edition.numbers[what] for what in edition.told_by):
            listed = ", ".join(f"{edition.numbers[what]:,} {what}" for what in edition.told_by)
            return f"{split}: {edition.name} ({listed})."
    images, official = counts.get("images") or 0, facts_of(split)["images"].number
    number = f"{len(differing)} of {plural(len(compared), 'number')} {'differs' if len(differing) == 1 else 'differ'}"
    if images < official and all((row.difference or 0) < 0 for row in differing):
        return f"{split}: {images:,} of {official:,} images, a part of the release or other data; {number}."
    return f"{split}: not the official release; {number}."
