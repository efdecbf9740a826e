-- One row per labelled landmark outside of its item's box; a landmark on an edge is inside.
-- key: split, image_id, item_no, landmark_no
-- severity: note
-- source: landmarks and items; boxes without area have no row
-- distance: How far the landmark lies outside at most.
SELECT
    landmarks.split,
    landmarks.image_id,
    landmarks.item_no,
    landmark_no,
    greatest(x1 - x, y1 - y, x - x2, y - y2) AS distance,
    x,
    y,
    v
FROM landmarks
JOIN items
    ON items.split = landmarks.split AND items.image_id = landmarks.image_id AND items.item_no = landmarks.item_no
WHERE v > 0 AND x2 > x1 AND y2 > y1 AND (x < x1 OR y < y1 OR x > x2 OR y > y2)
