"""Places for the labels of items: they never overlap, and cover as few landmarks as they can."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from registry.pictures.view import Rect

#: Px between two labels.
_GAP: Final = 2
#: Px between a label and its box from which on a line has to lead from the one to the other.
NEAR: Final = 10


@dataclass(frozen=True, slots=True)
class Label:
    """A label to place.

    Attributes:
        width, height: px.
        box: of its item on the canvas.
    """

    width: int
    height: int
    box: Rect


def place(
    labels: Sequence[Label], width: int, height: int, points: Sequence[tuple[float, float]]
) -> list[tuple[int, int] | None]:
    """Return left and top edge of each label, px of the canvas; None for a label that finds no free place.

    Args:
        labels: in the order of the result.
        width: of the canvas.
        height: of the canvas.
        points: that labels should not cover, px of the canvas.
    """
    places: list[tuple[int, int] | None] = [None] * len(labels)
    taken: list[Rect] = []
    # From the top down, so that a label takes the place above its box before that of the next item.
    for number in sorted(range(len(labels)), key=lambda number: (labels[number].box[1], labels[number].box[0])):
        label = labels[number]
        best: tuple[int, int, int] | None = None
        for x, y in _candidates(label, width, height):
            rect = (x, y, x + label.width, y + label.height)
            if any(overlap(rect, other, _GAP) for other in taken):
                continue
            covered = sum(rect[0] - 3 <= a <= rect[2] + 3 and rect[1] - 3 <= b <= rect[3] + 3 for a, b in points)
            if best is None or covered < best[0]:
                best = covered, x, y
            if covered == 0:
                break
        if best is None:
            best = next(
                (
                    (0, x, y)
                    for x, y in _everywhere(label, width, height)
                    if not any(overlap((x, y, x + label.width, y + label.height), o, _GAP) for o in taken)
                ),
                None,
            )
        if best is not None:
            places[number] = best[1:]
            taken.append((best[1], best[2], best[1] + label.width, best[2] + label.height))
    return places


def overlap(first: Rect, second: Rect, gap: float = 0) -> bool:
    """Return whether two rectangles overlap, or are closer than a gap."""
    return (
        first[0] < second[2] + gap
        and second[0] < first[2] + gap
        and first[1] < second[3] + gap
        and second[1] < first[3] + gap
    )


def _candidates(label: Label, width: int, height: int) -> Iterator[tuple[int, int]]:
    """Yield places beside the corners of the box, the usual ones first, all on the canvas."""
    if label.width > width or label.height > height:
        return
    x1, y1, x2, y2 = label.box
    down, across = label.height, label.width
    for x, y in (
        *((x1, y1 - down), (x2 - across, y1 - down)),  # above
        *((x1, y1 - down - NEAR), (x2 - across, y1 - down - NEAR)),  # above landmarks along the edge
        *((x1, y2), (x2 - across, y2), (x1, y2 + NEAR), (x2 - across, y2 + NEAR)),  # below
        *((x2, y1), (x1 - across, y1), (x2, y2 - down), (x1 - across, y2 - down)),  # beside
        *((x1, y1), (x2 - across, y1), (x1, y2 - down), (x2 - across, y2 - down)),  # within
        *((x1, (y1 + y2) / 2), (x2 - across, (y1 + y2) / 2), ((x1 + x2 - across) / 2, (y1 + y2) / 2)),
    ):
        yield round(min(max(x, 0), width - across)), round(min(max(y, 0), height - down))


def _everywhere(label: Label, width: int, height: int) -> list[tuple[int, int]]:
    """Return places all over the canvas, the nearest to the box first."""
    lefts = range(0, width - label.width + 1, max(4, label.height // 2))
    tops = range(0, height - label.height + 1, max(2, label.height // 2))
    x, y = label.box[0], label.box[1]
    return sorted(((a, b) for a in lefts for b in tops), key=lambda p: (p[0] - x) ** 2 + (p[1] - y) ** 2)
