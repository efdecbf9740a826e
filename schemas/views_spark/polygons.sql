-- One row per polygon of each item; an item's mask is the union of its polygons.
-- key: split, image_id, item_no, polygon_no
-- source: items.segmentation
SELECT
    split,
    image_id,
    item_no,
    category_id,
    CAST(position + 1 AS INTEGER) AS polygon_no,
    points
FROM items
LATERAL VIEW posexplode(segmentation) AS position, points
