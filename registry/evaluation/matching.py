"""Which item each detection found: the greedy matching of COCO, for all thresholds and any items that are ignored.

Detections of an image and category are taken by falling score. Each takes the free item that it overlaps most, at least
by the threshold; items that count go before those that are ignored; of equal overlaps the later item wins.
Source: ``evaluateImg`` of pycocotools.

No evaluator gives out its matches as arrays, or ignores items by an attribute: so the matching is here, all groups of
an image and category at once. Tests compare every number with pycocotools.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from registry.dataset.arrays import Bools, Floats, Ints
from registry.evaluation.overlaps import Overlaps

if TYPE_CHECKING:
    from registry.evaluation.detections import Detections
    from registry.evaluation.truth import Truth

#: IoU or OKS from which a detection can have found an item.
THRESHOLDS: Final = np.linspace(0.5, 0.95, 10)
#: More than any category's id.
_STRIDE: Final = 16


@dataclass(frozen=True)
class Ranking:
    """The detections that count, at most so many of an image and category, and their order.

    Attributes:
        detection: int64 [n]: positions of the detections, by category and falling score; of equal scores by image and
            then by place in the file.
        rank: int64 [n]: 0 for the highest score of an image and category.
        category_id: int64 [n].
        score: float64 [n].
        image: int64 [n].
    """

    detection: Ints
    rank: Ints
    category_id: Ints
    score: Floats
    image: Ints

    @classmethod
    def of(cls, detections: Detections, most: int) -> Ranking:
        """Return the ranking of the ``most`` highest scores of each image and category."""
        group = detections.image * _STRIDE + detections.category_id
        order = np.lexsort((-detections.score, group))
        starts = np.flatnonzero(np.diff(group[order], prepend=-1))
        rank = np.arange(len(order)) - np.repeat(starts, np.diff(starts, append=len(order)))
        order, rank = order[rank < most], rank[rank < most]
        by_score = np.lexsort((-detections.score[order], detections.category_id[order]))
        order, rank = order[by_score], rank[by_score]
        return cls(order, rank, detections.category_id[order], detections.score[order], detections.image[order])

    def at(self, chosen: Bools) -> Ranking:
        """Return the detections with a True, in the same order and with the same ranks."""
        return Ranking(
            self.detection[chosen],
            self.rank[chosen],
            self.category_id[chosen],
            self.score[chosen],
            self.image[chosen],
        )


class Matcher:
    """Matches ranked detections with items.

    Args:
        truth: the items.
        ranking: the detections.
        overlaps: of detections and items of any category.

    Attributes:
        candidate: int64 [candidates], ascending: position in the ranking of each detection that overlaps an item of its
            category by the lowest threshold.
    """

    def __init__(self, truth: Truth, ranking: Ranking, overlaps: Overlaps) -> None:
        place = np.full(int(ranking.detection.max(initial=-1)) + 1, -1)
        place[ranking.detection] = np.arange(len(ranking.detection))
        near = np.flatnonzero((overlaps.detection < len(place)) & (overlaps.value >= THRESHOLDS[0]))
        at = place[overlaps.detection[near]]
        item = overlaps.item[near]
        is_candidate = (at >= 0) & (ranking.category_id[at] == truth.category_id[item])
        at, item, value = at[is_candidate], item[is_candidate], overlaps.value[near][is_candidate]
        self.candidate, owner = np.unique(at, return_inverse=True)
        # Pairs by group and falling score: a round takes one detection of each group.
        group = ranking.image[at] * _STRIDE + ranking.category_id[at]
        order = np.lexsort((item, ranking.rank[at], group))
        self._owner, self._item, self._value, self._group = owner[order], item[order], value[order], group[order]
        self._num_items = len(truth.category_id)

    @cached_property
    def _found(self) -> Ints:
        """The matches where no item is ignored."""
        return self._match(np.ones(len(self._item), bool), np.zeros(self._num_items, bool))

    def found(self, ignored: Bools) -> Ints:
        """Return the item that each candidate matches at each threshold.

        Args:
            ignored: bool [items]: items that do not count; a detection takes one only if no other item is left to it.

        Returns:
            int64 [thresholds, candidates]: position of the item, or -1.
        """
        # Only a group with items of both kinds is matched otherwise than without ignored items.
        is_ignored = ignored[self._item]
        _, groups = np.unique(self._group, return_inverse=True)
        number, of_ignored = np.bincount(groups), np.bincount(groups, is_ignored)
        is_mixed = ((of_ignored > 0) & (of_ignored < number))[groups]
        if not is_mixed.any():
            return self._found
        matches = self._found.copy()
        anew = self._match(is_mixed, ignored)
        owners = np.unique(self._owner[is_mixed])
        matches[:, owners] = anew[:, owners]
        return matches

    def _match(self, chosen: Bools, ignored: Bools) -> Ints:
        """Return the matches of the chosen pairs, which are those of whole groups."""
        matches = np.full((len(THRESHOLDS), len(self.candidate)), -1)
        taken = np.zeros((len(THRESHOLDS), self._num_items), bool)
        owner, item, group = self._owner[chosen], self._item[chosen], self._group[chosen]
        value: Floats = self._value[chosen]
        is_first = np.diff(owner, prepend=-1) != 0
        # Position of each detection among those of its group.
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        turn = np.cumsum(is_first) - np.repeat(np.cumsum(is_first)[starts], np.diff(starts, append=len(group)))
        # Items that count go first.
        order = np.lexsort((ignored[item], owner, turn))
        owner, item, value, turn = owner[order], item[order], value[order], turn[order]
        first = np.flatnonzero(np.diff(owner, prepend=-1))
        number = np.arange(len(owner)) - np.repeat(first, np.diff(first, append=len(owner)))
        ends = np.searchsorted(turn, np.arange(1, int(turn.max(initial=-1)) + 2))
        start = 0
        for end in ends:
            self._take_turn(
                matches, taken, ignored, owner[start:end], item[start:end], value[start:end], number[start:end]
            )
            start = end
        return matches

    @staticmethod
    def _take_turn(
        matches: Ints, taken: Bools, ignored: Bools, owner: Ints, item: Ints, value: Floats, number: Ints
    ) -> None:
        """Match one detection of every group: write its item, and take the item.

        Args:
            matches: [thresholds, candidates], changed.
            taken: [thresholds, items], changed.
            ignored: [items].
            owner: of each pair, its candidate.
            item: of each pair.
            value: overlap of each pair.
            number: of each pair among those of its candidate.
        """
        first = np.flatnonzero(number == 0)
        detection = np.cumsum(number == 0) - 1
        best = np.repeat(np.minimum(THRESHOLDS, 1 - 1e-10)[:, None], len(first), axis=1)
        chosen = np.full(best.shape, -1)
        for at in range(int(number.max()) + 1):
            pairs = np.flatnonzero(number == at)
            who, what = detection[pairs], item[pairs]
            now = chosen[:, who]
            is_better = ~taken[:, what] & (value[pairs] >= best[:, who])
            is_better &= ~((now >= 0) & ~ignored[now] & ignored[what])
            chosen[:, who] = np.where(is_better, what, now)
            best[:, who] = np.where(is_better, value[pairs], best[:, who])
        matches[:, owner[first]] = chosen
        threshold, who = np.nonzero(chosen >= 0)
        taken[threshold, chosen[threshold, who]] = True
