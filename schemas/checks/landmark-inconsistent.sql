-- One row per landmark whose visibility and position contradict each other: labelled at 0, 0, or not labelled elsewhere.
-- key: split, image_id, item_no, landmark_no
-- severity: error
-- source: landmarks; v = 0 means x = y = 0 in the release
SELECT
    split,
    image_id,
    item_no,
    landmark_no,
    CASE WHEN v > 0 THEN 'labelled at 0, 0' ELSE 'not labelled, with a position' END AS kind,
    x,
    y,
    v
FROM landmarks
WHERE (v > 0 AND x = 0 AND y = 0) OR (v = 0 AND (x <> 0 OR y <> 0))
