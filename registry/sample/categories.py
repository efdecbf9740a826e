"""Category ids by name, and the groups of categories that are drawn alike."""

from __future__ import annotations

from typing import Final

from registry.dataset.deepfashion2 import CATEGORIES

_IDS: Final = {category.name: category.id for category in CATEGORIES}

SHORT_SLEEVE_TOP: Final = _IDS["short sleeve top"]
LONG_SLEEVE_TOP: Final = _IDS["long sleeve top"]
SHORT_SLEEVE_OUTWEAR: Final = _IDS["short sleeve outwear"]
LONG_SLEEVE_OUTWEAR: Final = _IDS["long sleeve outwear"]
VEST: Final = _IDS["vest"]
SLING: Final = _IDS["sling"]
SHORTS: Final = _IDS["shorts"]
TROUSERS: Final = _IDS["trousers"]
SKIRT: Final = _IDS["skirt"]
SHORT_SLEEVE_DRESS: Final = _IDS["short sleeve dress"]
LONG_SLEEVE_DRESS: Final = _IDS["long sleeve dress"]
VEST_DRESS: Final = _IDS["vest dress"]
SLING_DRESS: Final = _IDS["sling dress"]

SLEEVED_TOPS: Final = frozenset({SHORT_SLEEVE_TOP, LONG_SLEEVE_TOP})
TOPS: Final = SLEEVED_TOPS | {VEST, SLING}
OUTWEAR: Final = frozenset({SHORT_SLEEVE_OUTWEAR, LONG_SLEEVE_OUTWEAR})
#: The bottoms with two legs.
LEGWEAR: Final = frozenset({SHORTS, TROUSERS})
BOTTOMS: Final = LEGWEAR | {SKIRT}
SLEEVED_DRESSES: Final = frozenset({SHORT_SLEEVE_DRESS, LONG_SLEEVE_DRESS})
DRESSES: Final = SLEEVED_DRESSES | {VEST_DRESS, SLING_DRESS}
SHORT_SLEEVED: Final = frozenset({SHORT_SLEEVE_TOP, SHORT_SLEEVE_OUTWEAR, SHORT_SLEEVE_DRESS})
LONG_SLEEVED: Final = frozenset({LONG_SLEEVE_TOP, LONG_SLEEVE_OUTWEAR, LONG_SLEEVE_DRESS})
VESTS: Final = frozenset({VEST, VEST_DRESS})
SLINGS: Final = frozenset({SLING, SLING_DRESS})
