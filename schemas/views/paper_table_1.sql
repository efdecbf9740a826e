-- One row per split: the numbers of Table 1 of the dataset's paper and README.
-- key: split
-- source: split_counts, items, polygons
-- num_boxes: Items, each of which has a bounding box.
-- num_landmarks: Items with at least one labelled landmark.
-- num_masks: Items with at least one polygon.
WITH annotated AS (
    SELECT
        split,
        count(*) AS num_boxes,
        count(*) FILTER (WHERE num_landmarks_labelled > 0) AS num_landmarks
    FROM items
    GROUP BY split
),
masks AS (
    SELECT
        split,
        count(*) AS num_masks
    FROM polygons
    WHERE polygon_no = 1
    GROUP BY split
)
SELECT
    split_counts.split,
    num_images,
    coalesce(num_boxes, 0) AS num_boxes,
    coalesce(num_landmarks, 0) AS num_landmarks,
    coalesce(num_masks, 0) AS num_masks,
    num_instance_pairs,
    num_image_pairs,
    num_query_items,
    num_gallery_items
FROM split_counts
LEFT JOIN annotated ON annotated.split = split_counts.split
LEFT JOIN masks ON masks.split = split_counts.split
ORDER BY split_counts.split
