-- One row per polygon of each item; an item's mask is the union of its polygons.
-- key: split, image_id, item_no, polygon_no
-- source: items.segmentation
SELECT
    split,
    image_id,
    item_no,
    category_id,
    unnest(range(1, len(segmentation) + 1))::INTEGER AS polygon_no,
    unnest(segmentation) AS points
FROM items
