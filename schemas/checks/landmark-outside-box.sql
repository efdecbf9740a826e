-- One row per labelled landmark outside of its item's box; a landmark on an edge is inside.
-- key: split, image_id, item_no, landmark_no
-- severity: note
-- source: items; boxes without area have no row.
-- distance: How far the landmark lies outside at most.
WITH outside AS (
    SELECT
        split,
        image_id,
        item_no,
        x1,
        y1,
        x2,
        y2,
        landmarks,
        unnest(list_filter(
            range(1, len(landmarks) // 3 + 1),
            lambda n: landmarks[3 * n] > 0
                AND (
                    landmarks[3 * n - 2] < x1
                    OR landmarks[3 * n - 1] < y1
                    OR landmarks[3 * n - 2] > x2
                    OR landmarks[3 * n - 1] > y2
                )
        ))::SMALLINT AS landmark_no
    -- a join with the view landmarks would take several times the memory
    FROM items
    WHERE x2 > x1 AND y2 > y1
)
SELECT
    split,
    image_id,
    item_no,
    landmark_no,
    landmarks[3 * landmark_no - 2] AS x,
    landmarks[3 * landmark_no - 1] AS y,
    landmarks[3 * landmark_no] AS v,
    greatest(x1 - x, y1 - y, x - x2, y - y2) AS distance
FROM outside
