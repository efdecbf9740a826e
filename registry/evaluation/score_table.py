"""Scores as a table for people: a row for each slice, a column for each metric."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from registry.dataset.published import PublishedResult, published
from registry.evaluation.results import DIFFERENCE

if TYPE_CHECKING:
    from registry.evaluation.results import Evaluation, Score

#: Before the name of a slice of images.
_OF_IMAGES: Final = "images with "


def score_rows(evaluation: Evaluation) -> list[dict[str, str]]:
    """Return a row for each slice, with a text for each metric; below it the published results of the same slice.

    Published results are of the whole of validation: beside those of other items they would mislead.
    """
    names = list(dict.fromkeys(score.metric for score in evaluation.scores if score.value is not None))
    of_slice: dict[str, dict[str, Score]] = {}
    for score in evaluation.scores:
        of_slice.setdefault(score.slice, {})[score.metric] = score
    of_others: dict[str, list[PublishedResult]] = {}
    for result in published(evaluation.task) if _is_published(evaluation) else ():
        of_others.setdefault(result.slice, []).append(result)
    counted = "queries" if evaluation.task in ("retrieval", "embeddings") else "items"
    rows = []
    for slice, scores in of_slice.items():
        number = Counter(score.num_items for score in scores.values()).most_common(1)[0][0]
        rows.append(
            {"slice": slice, counted: f"{number:,}"}
            | {name: shown_score(scores[name]) if name in scores else "" for name in names}
        )
        for other in of_others.get(slice.removeprefix(_OF_IMAGES), ()):
            values = {name: shown_value(other.values[name]) if name in other.values else "" for name in names}
            if any(values.values()):
                rows.append({"slice": f"  {other.model}", counted: "", **values})
    return rows


def _is_published(evaluation: Evaluation) -> bool:
    """Return whether the whole of validation was evaluated."""
    facts = evaluation.facts
    splits = list(facts["splits"]) if "splits" in facts else [facts["split"]]
    return splits == ["validation"] and set(facts["subset"]) <= {"split"}


def has_published(rows: list[dict[str, str]]) -> bool:
    """Return whether one of the rows is a published result."""
    return any(row["slice"].startswith("  ") for row in rows)


def shown_score(score: Score) -> str:
    """Return a score as papers print it, with half the width of its interval: ``.638 ±.004``."""
    if score.value is None:
        return ""
    text = shown_value(score.value, is_signed=score.metric.endswith(DIFFERENCE))
    if score.low is None or score.high is None:
        return text
    return f"{text} ±{shown_value((score.high - score.low) / 2)}"


def shown_value(value: float, *, is_signed: bool = False) -> str:
    """Return a share without the zero before its point: ``.638``, ``-.012``, ``1.000``."""
    text = f"{value:+.3f}" if is_signed else f"{value:.3f}"
    return text.replace("0.", ".", 1) if abs(value) < 0.9995 else text
