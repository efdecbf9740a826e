-- One row per item whose box has no area: its right or bottom edge is not behind its left or top edge.
-- key: split, image_id, item_no
-- severity: error
-- source: items; boxes of [0, 0, 0, 0] are in the released train split
SELECT
    split,
    image_id,
    item_no,
    CASE WHEN x2 < x1 OR y2 < y1 THEN 'reversed' ELSE 'no area' END AS kind,
    x1,
    y1,
    x2,
    y2
FROM items
WHERE x2 <= x1 OR y2 <= y1
