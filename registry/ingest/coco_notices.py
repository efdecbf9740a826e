"""The notices of an ingestion from COCO files: values that are missing or odd, and the consequence."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Final

from registry.errors import first_names
from registry.wording import sentence

#: Count of :class:`registry.ingest.coco_decode.CocoRows` -> noun, verb phrase, and the consequence.
_MEANINGS: Final = {
    "images without source": (
        "images",
        "have no source",
        "source is NULL, and pairs, queries and the gallery need it: --source-of @FILE, or the information files "
        "of the release by --retrieval, give it",
    ),
    "images of other source": (
        "images",
        "have another source in the file",
        "the file's is taken, not that of --source-of or the retrieval lists",
    ),
    "images without pair_id": ("images", "have no pair_id", "pair_id is NULL, and identities and pairs need it"),
    "items without style": ("items", "have no style", "style is NULL, and identities and pairs need it"),
    "items without attributes": (
        "items",
        "have no scale, occlusion, zoom_in or viewpoint",
        "they are NULL; 'df2 export coco --attributes' writes them",
    ),
    "items without landmarks": ("items", "have no keypoints", "landmarks are NULL"),
    "items without segmentation": ("items", "have no segmentation", "segmentation is empty"),
    "images without size": ("images", "have no width or height", "they are NULL; yolo and voc need them"),
    "images without annotation": (
        "images",
        "have no annotation",
        "num_items is NULL: nobody says that no clothes are shown",
    ),
    "boxes of other size": (
        "items",
        "have a bbox_xyxy of another size than bbox",
        "bbox is taken, as tools that change a box change it alone",
    ),
}


def coco_notices(split: str, counts: Mapping[str, int], other_keys: Collection[str]) -> Iterator[str]:
    """Yield a notice for each count above 0, and for keys of annotations that no table holds."""
    for name, (nouns, phrase, meaning) in _MEANINGS.items():
        if counts.get(name):
            yield f"{split}: {sentence(counts[name], nouns, phrase)}; {meaning}"
    if other_keys:
        names = [key if key.isprintable() else ascii(key) for key in sorted(other_keys)]
        yield f"{split}: annotations have keys that no table holds, which are not kept: {first_names(names, 10)}"
