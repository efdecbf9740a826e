"""Scores of retrieval, of everything and of slices, with intervals by bootstrap over pair_ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from registry.dataset.arrays import Bools, Floats, Ints
from registry.evaluation.bootstrap import draw, interval
from registry.evaluation.results import Score
from registry.evaluation.submissions import NUM_ANSWERS

if TYPE_CHECKING:
    import pyarrow as pa

#: Ranks of the official script.
TOP: Final = (1, 5, 10, 15, 20)
#: Names of the metrics, in order.
METRICS: Final = (*(f"top-{k}" for k in TOP), "mAP", "MRR")
#: Draws held at a time.
_BLOCK: Final = 500


@dataclass(frozen=True)
class Answered:
    """The queries that count, and how well each was answered.

    Attributes:
        rank: int64 [queries]: rank of the first right answer, 0 for none.
        average_precision: float64 [queries].
        pair_id: int64 [queries]: groups of queries that are not independent.
    """

    rank: Ints
    average_precision: Floats
    pair_id: Ints

    def values(self) -> Floats:
        """Return the contribution of each query to each of :data:`METRICS`: float64 [queries, metrics]."""
        is_hit = self.rank > 0
        tops = [is_hit & (self.rank <= k) for k in TOP]
        reciprocal = np.where(is_hit, 1 / np.maximum(self.rank, 1), 0.0)
        return np.column_stack([*tops, self.average_precision, reciprocal]).astype(np.float64)


def scores(answered: Answered, slices: Iterable[tuple[str, Bools]], resamples: int) -> Iterator[Score]:
    """Yield all metrics of each slice, with 95 % percentile intervals.

    All slices have the same draws: of as many pair_ids as there are, with repetition.

    Args:
        answered: the queries.
        slices: name, and bool [queries]: which are in it.
        resamples: number of draws; 0 for no intervals.
    """
    values = np.column_stack([answered.values(), np.ones(len(answered.rank))])
    groups, group = np.unique(answered.pair_id, return_inverse=True)
    slices = list(slices)
    sums = [
        np.column_stack([np.bincount(group[is_in], column[is_in], len(groups)) for column in values.T])
        for _, is_in in slices
    ]
    drawn = [np.empty((resamples, values.shape[1])) for _ in slices]
    for start, draws in _draws(len(groups), resamples):
        for of_slice, of_groups in zip(drawn, sums, strict=True):
            of_slice[start : start + len(draws)] = draws @ of_groups
    for (name, is_in), of_slice, of_groups in zip(slices, drawn, sums, strict=True):
        number = int(is_in.sum())
        means: Sequence[float | None] = values[is_in].sum(0) / number if number else [None] * len(METRICS)
        # The queries of a single pair_id score the same in every draw: that would be an interval without width.
        is_single = np.count_nonzero(of_groups[:, -1]) < 2
        ends = _intervals(of_slice[:0] if is_single else of_slice[of_slice[:, -1] > 0])
        for k, metric in enumerate(METRICS):
            value, (low, high) = means[k], ends[k]
            yield Score(metric, name, None if value is None else float(value), low, high, number)


def _draws(number: int, resamples: int) -> Iterator[tuple[int, Floats]]:
    """Yield the first draw of a block, and how often each draw has each group: float64 [draws, groups]."""
    for start in range(0, resamples if number else 0, _BLOCK):
        draws = np.empty((min(_BLOCK, resamples - start), number))
        for k, row in enumerate(draws, start):
            row[:] = draw(number, k)
        yield start, draws


def _intervals(drawn: Floats) -> list[tuple[float | None, float | None]]:
    """Return low and high of each metric from its sums and the number of queries; None where nothing was drawn."""
    return [interval(sums / drawn[:, -1]) for sums in drawn[:, :-1].T]


def rank_table(rank: Ints) -> pa.Table:
    """Return the number of queries by the rank of their first right answer; rank NULL for none."""
    import pyarrow as pa

    number = np.bincount(rank, minlength=NUM_ANSWERS + 1)
    ranks = pa.array([*range(1, NUM_ANSWERS + 1), None], pa.int16())
    queries = pa.array([*number[1:], number[0]], pa.int64())
    share = pa.array([*number[1:] / max(1, len(rank)), number[0] / max(1, len(rank))], pa.float64())
    return pa.table({"rank": ranks, "num_queries": queries, "share": share})


def cmc_table(rank: Ints, slices: Iterable[tuple[str, Bools]]) -> pa.Table:
    """Return the cumulative match curve of each slice: slice, rank and the share of queries right up to that rank."""
    import pyarrow as pa

    names: list[str] = []
    ranks: list[int] = []
    shares: list[float | None] = []
    for name, is_in in slices:
        number = int(is_in.sum())
        num_right = np.cumsum(np.bincount(rank[is_in], minlength=NUM_ANSWERS + 1)[1:])
        names += [name] * NUM_ANSWERS
        ranks += range(1, NUM_ANSWERS + 1)
        shares += (num_right / number).tolist() if number else [None] * NUM_ANSWERS
    return pa.table({"slice": names, "rank": pa.array(ranks, pa.int16()), "share": pa.array(shares, pa.float64())})
