"""The scores of an evaluation, and the tables beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pyarrow as pa

#: Draws of the bootstrap behind each interval, where the user asks for no other number.
RESAMPLES: Final = 200
#: End of the name of a metric whose value is a difference between two predictions.
DIFFERENCE: Final = "-difference"
#: The slice of everything that is evaluated.
ALL: Final = "all"


@dataclass(frozen=True, slots=True)
class Score:
    """A metric within a slice.

    Attributes:
        metric: such as ``AP``, ``AP50``, ``AR100``, ``top-1``.
        slice: the part of the ground truth: ``all``, or such as ``occlusion=heavy``.
        value: from 0 to 1; None where nothing can be measured, as a slice without items.
        low: lower end of the 95 % interval; None without an interval.
        high: upper end of the 95 % interval; None without an interval.
        num_items: items of the ground truth that count; of retrieval, queries.
    """

    metric: str
    slice: str
    value: float | None
    low: float | None = None
    high: float | None = None
    num_items: int = 0


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        task: ``boxes``, ``masks``, ``landmarks``, ``retrieval`` or ``embeddings``.
        scores: of ``all`` first, then of every slice, in order.
        tables: more results by name, such as ``items``: one row per item. Some are made when they are asked for.
        facts: by name, as plain data: counts, and the rows that were taken where there is a choice.
        notices: plain sentences with a count on odd values that were accepted.
    """

    task: str
    scores: Sequence[Score]
    tables: Mapping[str, pa.Table] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    notices: Sequence[str] = ()

    def records(self) -> list[dict[str, Any]]:
        """Return the scores as dicts: metric, slice, value, low, high, num_items."""
        return [asdict(score) for score in self.scores]

    def value(self, metric: str, slice: str = ALL) -> float | None:
        """Return a metric within a slice.

        Raises:
            KeyError: it was not measured.
        """
        for score in self.scores:
            if (score.metric, score.slice) == (metric, slice):
                return score.value
        raise KeyError(f"{metric} of {slice}")
