"""Facts of DeepFashion2: splits, sources, categories, codes and landmark slots.

No function here reads a file.

Source: the dataset's public README (categories, codes, landmark counts), its COCO converter
``deepfashion2_to_coco.py`` (converter names), its evaluation code (OKS sigmas) and its landmark figure
(left-right swaps; the swap of vest 13 is missing where the others are published and follows from 9 -> 13).
Names and links of the landmarks are those of the published landmark list; the links follow the lines of the figure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import pairwise
from typing import Final

from registry.errors import UnknownNameError

SPLITS: Final = ("train", "validation", "test")
SOURCES: Final = ("user", "shop")

#: Attribute codes as the annotation files carry them, with the meaning the dataset's README gives.
ATTRIBUTE_CODES: Final[dict[str, dict[int, str]]] = {
    "scale": {1: "small", 2: "moderate", 3: "large"},
    "occlusion": {1: "slight or none", 2: "medium", 3: "heavy"},
    "zoom_in": {1: "none", 2: "medium", 3: "large"},
    "viewpoint": {1: "no wear", 2: "frontal", 3: "side or back"},
}


@dataclass(frozen=True, slots=True)
class Category:
    """One of the 13 clothing categories.

    Attributes:
        id: 1 to 13, as ``category_id`` in the annotations.
        name: as ``category_name`` in the annotations.
        coco_name: the name the official COCO converter writes instead.
        num_landmarks: how many landmarks an item of this category has.
        landmark_offset: 0-based position of its first landmark among all 294 slots.
    """

    id: int
    name: str
    coco_name: str
    num_landmarks: int
    landmark_offset: int


@dataclass(frozen=True, slots=True)
class LandmarkSlot:
    """One of the 294 landmark slots.

    Attributes:
        slot: 0-based position among all 294.
        category_id: the category it belongs to.
        landmark_no: its number on that category, from 1, as in the landmark figure.
        swap_slot: the slot it becomes when the image is mirrored (itself on the centre line).
        oks_sigma: per-landmark constant of object keypoint similarity, a fraction of sqrt(area).
        name: such as ``sss_kpt1`` (landmark 1 of the short sleeve top), unique among all 294.
    """

    slot: int
    category_id: int
    landmark_no: int
    swap_slot: int
    oks_sigma: float
    name: str


_CATEGORY_ROWS: Final = (
    (1, "short sleeve top", "short_sleeved_shirt", 25),
    (2, "long sleeve top", "long_sleeved_shirt", 33),
    (3, "short sleeve outwear", "short_sleeved_outwear", 31),
    (4, "long sleeve outwear", "long_sleeved_outwear", 39),
    (5, "vest", "vest", 15),
    (6, "sling", "sling", 15),
    (7, "shorts", "shorts", 10),
    (8, "trousers", "trousers", 14),
    (9, "skirt", "skirt", 8),
    (10, "short sleeve dress", "short_sleeved_dress", 29),
    (11, "long sleeve dress", "long_sleeved_dress", 37),
    (12, "vest dress", "vest_dress", 19),
    (13, "sling dress", "sling_dress", 19),
)

# Left-right pairs of landmark numbers by category; a landmark in no pair lies on the centre line.
# fmt: off
_SWAPS: dict[int, tuple[tuple[int, int], ...]] = {
    1: (
        (2, 6), (3, 5), (7, 25), (8, 24), (9, 23), (10, 22), (11, 21), (12, 20), (13, 19), (14, 18), (15, 17),
    ),
    2: (
        (2, 6), (3, 5), (7, 33), (8, 32), (9, 31), (10, 30), (11, 29), (12, 28), (13, 27), (14, 26), (15, 25),
        (16, 24), (17, 23), (18, 22), (19, 21),
    ),
    3: (
        (2, 26), (3, 5), (4, 6), (7, 25), (8, 24), (9, 23), (10, 22), (11, 21), (12, 20), (13, 19), (14, 18),
        (15, 17), (16, 29), (27, 30), (28, 31),
    ),
    4: (
        (2, 6), (3, 5), (4, 34), (7, 33), (8, 32), (9, 31), (10, 30), (11, 29), (12, 28), (13, 27), (14, 26),
        (15, 25), (16, 24), (17, 23), (18, 22), (19, 21), (20, 37), (35, 38), (36, 39),
    ),
    5: (
        (2, 6), (3, 5), (7, 15), (8, 14), (9, 13), (10, 12),
    ),
    6: (
        (2, 6), (3, 5), (7, 15), (8, 14), (9, 13), (10, 12),
    ),
    7: (
        (1, 3), (4, 10), (5, 9), (6, 8),
    ),
    8: (
        (1, 3), (4, 14), (5, 13), (6, 12), (7, 11), (8, 10),
    ),
    9: (
        (1, 3), (4, 8), (5, 7),
    ),
    10: (
        (2, 6), (3, 5), (7, 29), (8, 28), (9, 27), (10, 26), (11, 25), (12, 24), (13, 23), (14, 22), (15, 21),
        (16, 20), (17, 19),
    ),
    11: (
        (2, 6), (3, 5), (7, 37), (8, 36), (9, 35), (10, 34), (11, 33), (12, 32), (13, 31), (14, 30), (15, 29),
        (16, 28), (17, 27), (18, 26), (19, 25), (20, 24), (21, 23),
    ),
    12: (
        (2, 6), (3, 5), (7, 19), (8, 18), (9, 17), (10, 16), (11, 15), (12, 14),
    ),
    13: (
        (2, 6), (3, 5), (7, 19), (8, 18), (9, 17), (10, 16), (11, 15), (12, 14),
    ),
}
_OKS_SIGMAS: dict[int, tuple[float, ...]] = {
    1: (
        0.012, 0.0158, 0.0169, 0.0165, 0.0169, 0.0158, 0.0298, 0.0329, 0.0321, 0.0323, 0.034, 0.0388, 0.0452,
        0.0574, 0.0492, 0.0352, 0.0492, 0.0574, 0.0452, 0.0388, 0.034, 0.0323, 0.0321, 0.0329, 0.0298,
    ),
    2: (
        0.0194, 0.017, 0.0185, 0.0193, 0.0185, 0.017, 0.0286, 0.0471, 0.0547, 0.0526, 0.043, 0.0392, 0.0513,
        0.0566, 0.0509, 0.0564, 0.0542, 0.0604, 0.0599, 0.052, 0.0599, 0.0604, 0.0542, 0.0564, 0.0509, 0.0566,
        0.0513, 0.0392, 0.043, 0.0526, 0.0547, 0.0471, 0.0286,
    ),
    3: (
        0.0074, 0.0085, 0.0165, 0.0248, 0.0165, 0.0085, 0.0156, 0.0231, 0.0296, 0.0137, 0.0195, 0.025, 0.0347,
        0.038, 0.0257, 0.037, 0.0257, 0.038, 0.0347, 0.025, 0.0195, 0.0137, 0.0296, 0.0231, 0.0156, 0.0248,
        0.0469, 0.0632, 0.037, 0.0469, 0.0632,
    ),
    4: (
        0.0137, 0.0153, 0.0243, 0.0377, 0.0243, 0.0153, 0.0203, 0.0366, 0.0467, 0.0433, 0.0393, 0.0329,
        0.0418, 0.0477, 0.0399, 0.0331, 0.042, 0.0492, 0.0436, 0.0478, 0.0436, 0.0492, 0.042, 0.0331, 0.0399,
        0.0477, 0.0418, 0.0329, 0.0393, 0.0433, 0.0467, 0.0366, 0.0203, 0.0377, 0.0645, 0.0573, 0.0478,
        0.0645, 0.0573,
    ),
    5: (
        0.0352, 0.0158, 0.021, 0.0214, 0.021, 0.0158, 0.0196, 0.05, 0.0489, 0.0404, 0.0401, 0.0404, 0.0489,
        0.05, 0.0196,
    ),
    6: (
        0.0276, 0.0548, 0.0283, 0.0204, 0.0283, 0.0548, 0.0369, 0.0726, 0.0677, 0.064, 0.0251, 0.064, 0.0677,
        0.0726, 0.0369,
    ),
    7: (
        0.0308, 0.0216, 0.0308, 0.0506, 0.0494, 0.0463, 0.0477, 0.0463, 0.0494, 0.0506,
    ),
    8: (
        0.0275, 0.0202, 0.0275, 0.0651, 0.0451, 0.035, 0.028, 0.0392, 0.0362, 0.0392, 0.028, 0.035, 0.0451,
        0.0651,
    ),
    9: (
        0.0253, 0.0195, 0.0253, 0.0513, 0.0543, 0.0415, 0.0543, 0.0513,
    ),
    10: (
        0.0153, 0.023, 0.0167, 0.0145, 0.0167, 0.023, 0.0332, 0.0391, 0.0391, 0.0396, 0.044, 0.0452, 0.0498,
        0.0514, 0.0585, 0.0655, 0.0635, 0.0602, 0.0635, 0.0655, 0.0585, 0.0514, 0.0498, 0.0452, 0.044, 0.0396,
        0.0391, 0.0391, 0.0332,
    ),
    11: (
        0.0121, 0.0134, 0.0158, 0.0162, 0.0158, 0.0134, 0.0246, 0.0406, 0.047, 0.0404, 0.0463, 0.0466, 0.0435,
        0.0499, 0.0455, 0.044, 0.0411, 0.049, 0.0576, 0.0685, 0.0618, 0.0483, 0.0618, 0.0685, 0.0576, 0.049,
        0.0411, 0.044, 0.0486, 0.0499, 0.0435, 0.0466, 0.0463, 0.0404, 0.047, 0.0406, 0.0246,
    ),
    12: (
        0.0116, 0.0167, 0.016, 0.018, 0.016, 0.0167, 0.0196, 0.0385, 0.0421, 0.0497, 0.0562, 0.0528, 0.0428,
        0.0528, 0.0562, 0.0497, 0.0421, 0.0385, 0.0196,
    ),
    13: (
        0.0244, 0.0297, 0.0244, 0.0208, 0.0244, 0.0297, 0.0173, 0.0616, 0.0659, 0.0712, 0.0707, 0.0685,
        0.0339, 0.0685, 0.0707, 0.0712, 0.0659, 0.0616, 0.0173,
    ),
}
# fmt: on

# Prefixes of landmark names by category.
_NAME_PREFIXES: Final = {
    1: "sss", 2: "lss", 3: "sso", 4: "lso", 5: "vest", 6: "sling", 7: "shorts", 8: "trousers", 9: "skirt",
    10: "ssd", 11: "lsd", 12: "vd", 13: "sd",
}  # fmt: skip

# Lines along the edges of a garment, by category: each landmark number is linked to the next.
_LINES: Final[dict[int, tuple[tuple[int, ...], ...]]] = {
    1: ((1, 2, *range(7, 26), 6, 1), (2, 3, 4, 5, 6)),
    2: ((1, 2, *range(7, 34), 6, 5, 4, 3, 2), (6, 1)),
    3: ((1, 4, *range(7, 17), 31, 30, 2, 3, 4), (1, 6, *range(25, 16, -1), 29, 28, 27, 26, 5, 6)),
    4: ((1, 2, *range(7, 21), 39, 38, 4, 3, 2), (1, 6, *range(33, 20, -1), 37, 36, 35, 34, 5, 6)),
    5: ((1, 2, *range(7, 16), 6, 1), (2, 3, 4, 5, 6)),
    6: ((1, 2, *range(8, 15), 6), (2, 7), (6, 15), (2, 3, 4, 5, 6), (1, 6)),
    7: ((1, *range(4, 11), 3, 2, 1),),
    8: ((1, *range(4, 15), 3, 2, 1),),
    9: ((1, *range(4, 9), 3, 2, 1),),
    10: ((1, 2, *range(7, 30), 6, 5, 4, 3, 2), (6, 1)),
    11: ((1, 2, *range(7, 38), 6, 5, 4, 3, 2), (6, 1)),
    12: ((1, 2, *range(7, 20), 6, 5, 4, 3, 2), (6, 1)),
    13: ((1, 2, *range(8, 19), 6, 5, 4, 3, 2, 7), (6, 19), (6, 1)),
}

#: Names that a message suggests at once.
_MOST_SUGGESTED: Final = 4
#: Words that other datasets and papers have for a split, a category or a source, and ours.
_OTHER_SPLITS: Final = (("dev", "validation"), ("eval", "validation"))
_OTHER_CATEGORIES: Final = (("pants", "trousers"), ("tshirt", "short sleeve top"), ("t-shirt", "short sleeve top"))
OTHER_SOURCES: Final = (("consumer", "user"), ("customer", "user"), ("commercial", "shop"))


def _build_categories() -> tuple[Category, ...]:
    categories = []
    offset = 0
    for category_id, name, coco_name, num_landmarks in _CATEGORY_ROWS:
        categories.append(Category(category_id, name, coco_name, num_landmarks, offset))
        offset += num_landmarks
    return tuple(categories)


def _build_slots() -> tuple[LandmarkSlot, ...]:
    slots = []
    for category in CATEGORIES:
        swap_of = {number: number for number in range(1, category.num_landmarks + 1)}
        for left, right in _SWAPS[category.id]:
            swap_of[left], swap_of[right] = right, left
        for number, sigma in enumerate(_OKS_SIGMAS[category.id], start=1):
            offset = category.landmark_offset - 1
            name = f"{_NAME_PREFIXES[category.id]}_kpt{number}"
            slots.append(LandmarkSlot(offset + number, category.id, number, offset + swap_of[number], sigma, name))
    return tuple(slots)


CATEGORIES: Final = _build_categories()
CATEGORY_BY_ID: Final = {category.id: category for category in CATEGORIES}
LANDMARK_SLOTS: Final = _build_slots()
NUM_LANDMARK_SLOTS: Final = len(LANDMARK_SLOTS)

#: Links between landmarks by category id, as pairs of ``landmark_no``, in the order in which they are published.
SKELETON: Final[dict[int, tuple[tuple[int, int], ...]]] = {
    category_id: tuple(link for line in lines for link in pairwise(line)) for category_id, lines in _LINES.items()
}


def unknown_name(
    kind: str, name: object, names: list[str], other_names: Iterable[tuple[str, str]] = ()
) -> UnknownNameError:
    """Return the error for an unknown name: it lists the existing names and suggests the nearest.

    Args:
        kind: of the name, for the message.
        name: the unknown name.
        names: the existing names.
        other_names: (another name that people use, the existing name).
    """
    nearest = _nearest(str(name), [*((existing, existing) for existing in names), *other_names])
    hint = f" Did you mean {' or '.join(map(repr, nearest))}?" if nearest else ""
    return UnknownNameError(f"Unknown {kind} {name!r}.{hint} There is: {', '.join(names)}.")


def _nearest(name: str, names: Iterable[tuple[str, str]]) -> list[str]:
    """Return the names that hold all words of a name, or the name that is spelled most like it.

    Args:
        name: an unknown name.
        names: (spelling, existing name).
    """
    words = _words(name)
    holding = {existing: None for spelling, existing in names if words and words <= _words(spelling)}
    if 0 < len(holding) <= _MOST_SUGGESTED:
        return list(holding)
    existing_of = {spelling.lower(): existing for spelling, existing in names}
    text = name.lower()
    nearest = get_close_matches(text, existing_of, n=1, cutoff=0.5)
    nearest = nearest or [spelling for spelling in existing_of if text and spelling.startswith(text)]
    return [existing_of[spelling] for spelling in nearest[:1]]


def _words(name: str) -> set[str]:
    """Return the words of a name, each without the s of a plural."""
    return {word.removesuffix("s") for word in re.findall(r"[^\W_]+", name.lower())}


def category_called(name_or_id: str | int) -> Category | None:
    """Return the category with a name, a number or a name of the COCO converter; None if there is none."""
    text = re.sub("[_-]", " ", str(name_or_id).strip().lower())
    for category in CATEGORIES:
        if text in (str(category.id), category.name, category.coco_name.replace("_", " ")):
            return category
    return None


def find_category(name_or_id: str | int) -> Category:
    """Return the category with a name, a number or a name of the COCO converter.

    Raises:
        UnknownNameError: there is no such category; the message lists all categories.
    """
    category = category_called(name_or_id)
    if category is not None:
        return category
    spellings = [(category.coco_name, category.name) for category in CATEGORIES]
    names = [category.name for category in CATEGORIES]
    raise unknown_name("category", name_or_id, names, [*spellings, *_OTHER_CATEGORIES])


def find_split(name: str) -> str:
    """Return ``name`` if it is a split.

    Raises:
        UnknownNameError: there is no such split; the message lists the three.
    """
    if name not in SPLITS:
        raise unknown_name("split", name, list(SPLITS), _OTHER_SPLITS)
    return name
