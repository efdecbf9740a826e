"""The official retrieval protocol: which detection stands for each query, and at which ranks it has a right answer.

Each detection goes to the row of its image that it overlaps most, the first on a tie, without a threshold. Of those
that went to a query and have its category, the one with the highest score stands for it, the first in the file on a
tie. An answer is right if its box overlaps a gallery item of the query's pair_id and style, in the image that the
answer names, by an IoU of at least 0.5.

Source: ``deepfashion2_retrieval_test.py`` of the dataset repository. Its result depends on the order of the rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from registry.dataset.arrays import Floats, Ints
from registry.evaluation.overlaps import box_iou
from registry.evaluation.retrieval_rows import RetrievalRows
from registry.evaluation.submissions import NUM_ANSWERS, Submission

#: IoU from which an answer is right, and a detection is one of a query.
MIN_IOU: Final = 0.5
#: How each query ended.
RIGHT: Final = "right"
NOT_FOUND: Final = "not found"
DISPLACED: Final = "displaced"
WRONG_CATEGORY: Final = "wrong category"
NOT_DETECTED: Final = "not detected"
NO_ANSWER: Final = "no right answer"
#: Pairs of an answer and a gallery item whose overlap is computed at a time.
_BLOCK: Final = 1 << 20


@dataclass(frozen=True)
class Hits:
    """Right answers of detections to queries.

    Attributes:
        case: int64 [hits], ascending: which of the asked pairs of query and detection.
        rank: int64 [hits], ascending within a case: 1 to 20.
        item: int64 [hits]: position of the gallery row.
        value: float64 [hits]: IoU of the answer and the row.
    """

    case: Ints
    rank: Ints
    item: Ints
    value: Floats


class Matching:
    """A submission beside the rows of the protocol.

    Args:
        rows: of the protocol.
        submission: its records.

    Attributes:
        query: int64 [queries]: rows with a style, each a query.
        record: int64 [queries]: position of the record that stands for it, -1 for none.
    """

    def __init__(self, rows: RetrievalRows, submission: Submission) -> None:
        self.rows, self.submission = rows, submission
        queries = rows.queries
        self.query = np.flatnonzero(queries.style > 0)
        self._pairs = _pairs(submission.image_id, queries.image_id)
        record, row = self._pairs
        self._iou = _box_iou(submission.boxes[record], queries.boxes[row])
        #: Row that each record goes to; -1 in images without a row.
        self.row = np.full(len(submission), -1)
        best = np.lexsort((row, -self._iou, record))
        record_of_best, first = np.unique(record[best], return_index=True)
        self.row[record_of_best] = row[best[first]]
        has_category = (self.row >= 0) & (submission.category_id == queries.category_id[self.row])
        members = np.flatnonzero(has_category)
        members = members[np.lexsort((members, -submission.score[members], self.row[members]))]
        represented, first = np.unique(self.row[members], return_index=True)
        of_row = np.full(len(queries), -1)
        of_row[represented] = members[first]
        self.record: Ints = of_row[self.query]

    @cached_property
    def record_iou(self) -> Floats:
        """float64 [queries]: IoU of each query with the record that stands for it; of no record, 0."""
        is_represented = self.record >= 0
        iou = np.zeros(len(self.query))
        queries = self.rows.queries.boxes[self.query[is_represented]]
        iou[is_represented] = _box_iou(self.submission.boxes[self.record[is_represented]], queries)
        return iou

    @cached_property
    def num_right_answers(self) -> Ints:
        """int64 [queries]: gallery rows of the pair_id and style of each query."""
        return np.bincount(self._right[0], minlength=len(self.query))

    @cached_property
    def hits(self) -> Hits:
        """The right answers of the records that stand for the queries; the case is the position in :attr:`query`."""
        cases = np.flatnonzero(self.record >= 0)
        hits = self._hits(cases, self.record[cases])
        return Hits(cases[hits.case], hits.rank, hits.item, hits.value)

    @cached_property
    def rank(self) -> Ints:
        """int64 [queries]: rank of the first right answer, 0 for none."""
        return _first_ranks(self.hits, len(self.query))

    @cached_property
    def average_precision(self) -> Floats:
        """float64 [queries]: average precision of the answers.

        Each right answer counts once, at the first rank that finds it; an answer finds one, that which it overlaps most
        of those not yet found. The sum is divided by the number of right answers, at most 20.
        """
        hits, number = self.hits, self.num_right_answers
        total, found_before = np.zeros(len(self.query)), np.zeros(len(self.query), np.int64)
        key = hits.case * max(1, len(self.rows.gallery)) + hits.item
        pairs, key = np.unique(key, return_inverse=True)
        is_found = np.zeros(len(pairs), bool)
        for rank in range(1, NUM_ANSWERS + 1):
            at = np.flatnonzero((hits.rank == rank) & ~is_found[key])
            at = at[np.lexsort((hits.item[at], -hits.value[at], hits.case[at]))]
            cases, first = np.unique(hits.case[at], return_index=True)
            is_found[key[at[first]]] = True
            found_before[cases] += 1
            total[cases] += found_before[cases] / rank
        return total / np.maximum(1, np.minimum(number, NUM_ANSWERS))

    @cached_property
    def outcome(self) -> list[str]:
        """How each query ended.

        Without a right answer, a query is ``not detected`` if no detection overlaps it by an IoU of at least 0.5, of
        ``wrong category`` if those that do have another category, and ``displaced`` if one of its category does, but
        does not stand for it: it went to another row, and no other came; or it has a right answer, but a detection
        with a higher score went to the query. Else the right answer was ``not found``.
        """
        record, row = self._pairs
        position = np.full(len(self.rows.queries), -1)
        position[self.query] = np.arange(len(self.query))
        near = (self._iou >= MIN_IOU) & (position[row] >= 0)
        record, case = record[near], position[row[near]]
        has_category = self.submission.category_id[record] == self.rows.queries.category_id[row[near]]
        is_detected, is_known, is_displaced = np.zeros((3, len(self.query)), bool)
        is_detected[case] = True
        is_known[case[has_category]] = True
        is_other = has_category & (self.rank[case] == 0) & (self.record[case] != record)
        other_hits = self._hits(case[is_other], record[is_other])
        is_displaced[case[is_other][other_hits.case]] = True
        is_displaced |= is_known & (self.record < 0)
        outcome = np.full(len(self.query), NOT_FOUND, object)
        outcome[is_displaced] = DISPLACED
        outcome[~is_known] = WRONG_CATEGORY
        outcome[~is_detected] = NOT_DETECTED
        outcome[self.rank > 0] = RIGHT
        outcome[self.num_right_answers == 0] = NO_ANSWER
        kinds: list[str] = outcome.tolist()
        return kinds

    @cached_property
    def _right(self) -> tuple[Ints, Ints]:
        """Pairs of a position in :attr:`query` and a right gallery row, ascending."""
        queries, gallery = self.rows.queries, self.rows.gallery
        identity = (queries.pair_id << 32) + queries.style
        identity[(queries.style <= 0) | (queries.pair_id < 0)] = -1
        of_gallery = (gallery.pair_id << 32) + gallery.style
        of_gallery[(gallery.style <= 0) | (gallery.pair_id < 0)] = -2
        return _pairs(identity[self.query], of_gallery)

    @cached_property
    def _right_in_images(self) -> tuple[Ints, Ints]:
        """Of each right pair by query and image: a key, ascending, and the gallery row."""
        case, item = self._right
        key = case * self._stride + self.rows.gallery.image_id[item]
        order = np.argsort(key, kind="stable")
        return key[order], item[order]

    @property
    def _stride(self) -> int:
        """More than any image_id of the gallery or of an answer that can be right."""
        return int(self.rows.gallery.image_id.max(initial=0)) + 1

    def _hits(self, case: Ints, record: Ints) -> Hits:
        """Return the right answers of a record to a query each, by the position of the pair.

        Args:
            case: positions in :attr:`query`.
            record: of each the position of the record.
        """
        submission, (keys, items) = self.submission, self._right_in_images
        number = submission.num_answers[record]
        asked = np.repeat(np.arange(len(case)), number)
        rank = np.arange(len(asked)) - np.repeat(np.cumsum(number) - number, number)
        answer = submission.first_answer[record][asked] + rank
        image = submission.answer_image_id[answer]
        # An image that the gallery has not at all gets a key that no right answer has.
        key = np.where((image >= 0) & (image < self._stride), case[asked] * self._stride + image, -1)
        low, high = np.searchsorted(keys, key), np.searchsorted(keys, key, "right")
        is_possible = high > low
        asked, rank, answer, low, number = (
            asked[is_possible],
            rank[is_possible],
            answer[is_possible],
            low[is_possible],
            (high - low)[is_possible],
        )
        parts: list[tuple[Ints, Ints, Ints, Floats]] = []
        for block in _blocks(number):
            which = np.repeat(np.arange(len(number))[block], number[block])
            starts = np.cumsum(number[block]) - number[block]
            item = items[low[which] + np.arange(len(which)) - np.repeat(starts, number[block])]
            value = _box_iou(submission.answer_boxes[answer[which]], self.rows.gallery.boxes[item])
            is_hit = value >= MIN_IOU
            which = which[is_hit]
            parts.append((asked[which], rank[which] + 1, item[is_hit], value[is_hit]))
        if not parts:
            return Hits(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
        return Hits(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _box_iou(boxes: Floats, others: Floats) -> Floats:
    """Return the IoU of boxes; of those whose numbers are not finite or too large, no IoU of a right answer."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.nan_to_num(box_iou(boxes, others))


def _first_ranks(hits: Hits, number: int) -> Ints:
    ranks = np.full(number, NUM_ANSWERS + 1)
    np.minimum.at(ranks, hits.case, hits.rank)
    return np.where(ranks > NUM_ANSWERS, 0, ranks)


def _pairs(left: Ints, right: Ints) -> tuple[Ints, Ints]:
    """Return the pairs of positions of equal values, ascending."""
    order = np.argsort(right, kind="stable")
    low, high = np.searchsorted(right[order], left), np.searchsorted(right[order], left, "right")
    number = high - low
    position = np.repeat(np.arange(len(left)), number)
    within = np.arange(len(position)) - np.repeat(np.cumsum(number) - number, number)
    return position, order[low[position] + within]


def _blocks(number: Ints) -> list[slice]:
    """Return slices of groups with these sizes, each of about :data:`_BLOCK` members."""
    if not len(number):
        return []
    block = np.cumsum(number) // _BLOCK
    starts = np.flatnonzero(np.diff(block, prepend=-1)).tolist()
    return [slice(start, end) for start, end in zip(starts, [*starts[1:], len(number)], strict=True)]
