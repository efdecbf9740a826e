"""Which splits are evaluated where the user names none."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from registry.dataset.deepfashion2 import SPLITS
from registry.errors import NotFoundError
from registry.subset.options import Subset

if TYPE_CHECKING:
    from registry.store.registry import Registry
    from registry.store.selection import Selection

_USUAL: Final = "validation"
_ANNOTATED: Final = "SELECT DISTINCT split FROM images WHERE num_items IS NOT NULL"


def select_annotated(registry: Registry, subset: Subset | None) -> tuple[Selection, list[str], list[str]]:
    """Return the subset to evaluate, its splits with annotations, and notices.

    Where the subset names no split and several have annotations, it is that of validation.

    Raises:
        NotFoundError: the subset has no image with an annotation.
    """
    subset = subset or Subset()
    selection = registry.select(subset)
    annotated = {split for (split,) in selection.sql(_ANNOTATED).fetchall()}
    splits = [split for split in SPLITS if split in annotated]
    if not splits:
        raise NotFoundError(f"The subset {subset.text} has no image with an annotation: there is nothing to evaluate.")
    if subset.split or len(splits) == 1 or _USUAL not in splits:
        return selection, splits, list(selection.notices)
    others = " and ".join(split for split in splits if split != _USUAL)
    selection = registry.select(replace(subset, split=(_USUAL,)))
    notice = f"{_USUAL} is evaluated, not {others}: name the splits with split (--split) for others."
    return selection, [_USUAL], [notice, *selection.notices]
