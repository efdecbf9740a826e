-- One row per split, category and landmark: how often it is visible, occluded and not labelled.
-- key: split, category_id, landmark_no
-- source: landmarks
-- num_items: Items of the category that have landmarks.
SELECT
    split,
    category_id,
    categories.name AS category_name,
    landmark_no,
    count(*) AS num_items,
    count(*) FILTER (WHERE v = 2) / count(*) AS share_visible,
    count(*) FILTER (WHERE v = 1) / count(*) AS share_occluded,
    count(*) FILTER (WHERE v = 0) / count(*) AS share_unlabelled,
    count(*) FILTER (WHERE v = 2) AS num_visible,
    count(*) FILTER (WHERE v = 1) AS num_occluded,
    count(*) FILTER (WHERE v = 0) AS num_unlabelled
FROM landmarks
JOIN categories ON categories.id = landmarks.category_id
WHERE v IS NOT NULL
GROUP BY split, category_id, categories.name, landmark_no
ORDER BY split, category_id, landmark_no
