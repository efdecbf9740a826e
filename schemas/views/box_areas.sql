-- One row per split and category: how large the bounding boxes are.
-- key: split, category_id
-- source: items, images; a box whose corners are reversed has area 0
-- num_items: Items of the category in the split.
WITH areas AS (
    SELECT
        items.split,
        items.category_id,
        items.category_name,
        greatest(items.x2 - items.x1, 0) * greatest(items.y2 - items.y1, 0) AS area,
        images.width::DOUBLE * images.height AS image_area
    FROM items
    JOIN images
        ON images.split = items.split
        AND images.image_id = items.image_id
)
SELECT
    split,
    category_id,
    category_name,
    count(*) AS num_items,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY area) AS median_area,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY area / image_area) AS median_share_of_image,
    min(area) AS min_area,
    percentile_cont(0.25) WITHIN GROUP (ORDER BY area) AS lower_quartile_area,
    percentile_cont(0.75) WITHIN GROUP (ORDER BY area) AS upper_quartile_area,
    max(area) AS max_area,
    round(avg(area), 1) AS mean_area
FROM areas
GROUP BY split, category_id, category_name
ORDER BY split, category_id
