"""The statistics by name, and the attributes that counts can be crossed by."""

from __future__ import annotations

from typing import Final

#: The statistic that is no view: it needs the union of polygons, which SQL does not have.
MASK_AREAS: Final = "mask_areas"
#: All statistics; the others are views.
STATISTICS: Final = (
    "split_counts",
    "category_counts",
    "attribute_counts",
    "items_per_image",
    "styles_per_pair_id",
    "pairs_per_identity",
    "landmark_visibility",
    "box_areas",
    MASK_AREAS,
    "image_sizes",
    "paper_table_1",
    "paper_figure_3",
)

#: SQL: the share of a photo that a box takes, in steps of 5 % from 0, and the condition that it has one.
BOX_SHARE_STEP: Final = "least(19, floor(20 * (x2 - x1) * (y2 - y1) / (width::DOUBLE * height)))::INT"
HAS_BOX_SHARE: Final = "x2 > x1 AND y2 > y1 AND width > 0 AND height > 0"

#: Attributes that every image has.
IMAGE_ATTRIBUTES: Final = ("split", "source", "orientation")
#: All attributes that counts can be crossed by.
CROSSED_ATTRIBUTES: Final = (
    "split",
    "category",
    "source",
    "scale",
    "occlusion",
    "zoom_in",
    "viewpoint",
    "orientation",
)
