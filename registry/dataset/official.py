"""Published numbers of DeepFashion2: of the release, of the paper's full data and of an early ground truth.

Only published numbers stand here, each with its source. "DF2 issue n" is issue n of switchablenorms/DeepFashion2,
"CodaLab n" the page competitions.codalab.org/competitions/n.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from registry.dataset.deepfashion2 import CATEGORY_BY_ID
from registry.wording import plural

_README: Final = "dataset README"
_ZIPS: Final = "files in the archives (DF2 issues 6 and 29)"
_MEASURED: Final = "full measurements of the release by its users"
_ISSUE_30: Final = "DF2 issue 30"
_RETRIEVAL_PAGE: Final = "competition page of 2019 (CodaLab 23098)"


@dataclass(frozen=True, slots=True)
class Fact:
    """A published number of the release.

    Attributes:
        split: split that it counts in.
        what: what it counts, such as ``items``, ``items of category skirt`` or ``instance pairs``.
        number: the number.
        source: where it was published.
        contradiction: another published number for the same, and where; empty if there is none.
    """

    split: str
    what: str
    number: int
    source: str
    contradiction: str = ""


@dataclass(frozen=True, slots=True)
class Edition:
    """Another edition of a split: numbers that tell it from the released split.

    Attributes:
        split: the split.
        name: what it is, for a sentence.
        numbers: what -> number.
        told_by: the numbers that all have to be equal.
    """

    split: str
    name: str
    numbers: Mapping[str, int]
    told_by: tuple[str, ...]


def _by_source(split: str, what: str, user: int, shop: int, source: str) -> Iterator[Fact]:
    """Yield the images or items of each source."""
    yield Fact(split, f"{what} of source user", user, source)
    yield Fact(split, f"{what} of source shop", shop, source)


def _by_items(split: str, numbers: Mapping[int, int]) -> Iterator[Fact]:
    """Yield the images by their number of items."""
    for num_items, number in numbers.items():
        yield Fact(split, f"images of {plural(num_items, 'item')}", number, _MEASURED)


def _by_category(split: str, *numbers: int) -> Iterator[Fact]:
    """Yield the items of each category, in order of its id."""
    for category, number in zip(CATEGORY_BY_ID.values(), numbers, strict=True):
        yield Fact(split, f"items of category {category.name}", number, _MEASURED)


def _by_style(split: str, *numbers: int) -> Iterator[Fact]:
    """Yield the items of each style, from style 0 on."""
    for style, number in enumerate(numbers):
        yield Fact(split, f"items of style {style}", number, _MEASURED)


#: The numbers of the release, by split.
FACTS: Final = (
    Fact("train", "images", 191_961, _ZIPS, "390,884 in the paper, twice as many as were released"),
    Fact("train", "items", 312_186, _MEASURED, "636,624 in the paper, which counts the full data"),
    Fact("train", "pair_ids", 14_555, _MEASURED),
    Fact(
        "train",
        "instance pairs",
        394_661,
        _ISSUE_30,
        "685,584 of train and 873,234 in all in the paper, which counts the full data",
    ),
    Fact("train", "image pairs", 337_293, f"{_ISSUE_30}, {_RETRIEVAL_PAGE}"),
    *_by_items(
        "train",
        {
            1: 76_107,
            2: 112_530,
            3: 2_296,
            4: 1_018,
            5: 3,
            6: 6,
            8: 1,
        },
    ),
    *_by_source("train", "items", 83_628, 228_558, _MEASURED),
    *_by_category("train", 71645, 36064, 543, 13457, 16095, 1985, 36616, 55387, 30835, 17211, 7907, 17949, 6492),
    *_by_style(
        "train",
        *(94408, 130185, 57035, 16032, 7580, 2983, 1844, 722, 507, 292, 191, 100, 85, 51, 51, 24, 29),
        *(14, 15, 7, 4, 4, 2, 4, 1, 1, 2, 4, 1, 1, 2, 2, 1, 2),
    ),
    Fact("validation", "images", 32_153, _ZIPS, "33,669 in the paper, which counts the full data"),
    Fact("validation", "items", 52_490, _MEASURED, "51,490 on the competition pages (CodaLab 23095, 23098, 22966)"),
    Fact("validation", "pair_ids", 2_279, _MEASURED),
    Fact("validation", "images of source user", 10_844, _README),
    Fact(
        "validation",
        "images of source shop",
        21_309,
        "files 010845 to 032153 of the archive",
        "20,681 in the dataset README, which is the number of user photos of test",
    ),
    *_by_items("validation", {1: 12_684, 2: 18_787, 3: 498, 4: 182, 5: 2}),
    *_by_source("validation", "items", 15_529, 36_961, _MEASURED),
    *_by_category("validation", 12556, 5966, 142, 2011, 2113, 322, 4167, 9586, 6522, 3127, 1477, 3352, 1149),
    *_by_style(
        "validation",
        *(16240, 21111, 9606, 2894, 1402, 476, 271, 156, 116, 63, 53, 39, 18, 16, 9, 7, 4, 3, 1, 1, 1, 1, 1, 1),
    ),
    Fact("validation", "query items", 12_377, _RETRIEVAL_PAGE, "12,550 in the paper and in the early ground truth"),
    Fact("validation", "gallery items", 36_961, _RETRIEVAL_PAGE, "37,183 in the paper, which counts the full data"),
    Fact("test", "images", 62_629, _ZIPS, "67,342 in the paper, which counts the full data"),
    *_by_source("test", "images", 20_681, 41_948, _README),
)

#: Numbers that are published and that no registry can have, as sentences.
NOT_COMPARABLE: Final = (
    "101,351 items, 23,390 query items and 72,337 gallery items are published for test (CodaLab 22966, "
    "23098), whose annotations never were.",
)

#: Editions that are not the release.
EDITIONS: Final = (
    Edition(
        "train",
        "the full training data of the paper, of which about half was released",
        {"images": 390_884, "items": 636_624, "instance pairs": 685_584},
        ("images", "items"),
    ),
    Edition(
        "validation",
        "the validation data of the paper, of which the release holds less",
        {"images": 33_669, "items": 54_910, "query items": 12_550, "gallery items": 37_183},
        ("images", "items"),
    ),
    Edition(
        "test",
        "the test data of the paper, of which the release holds less",
        {"images": 67_342},
        ("images",),
    ),
    Edition(
        "validation",
        "the early validation ground truth of January 2019, which is not the released one",
        {"instance pairs": 70_914, "image pairs": 62_299, "query items": 12_550},
        ("instance pairs",),
    ),
)


def facts_of(split: str) -> dict[str, Fact]:
    """Return the published numbers of a released split: what -> fact."""
    return {fact.what: fact for fact in FACTS if fact.split == split}
