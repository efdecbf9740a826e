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
    quantile_cont(area, 0.5) AS median_area,
    quantile_cont(area / image_area, 0.5) AS median_share_of_image,
    min(area) AS min_area,
    quantile_cont(area, 0.25) AS lower_quartile_area,
    quantile_cont(area, 0.75) AS upper_quartile_area,
    max(area) AS max_area,
    round(avg(area), 1) AS mean_area
FROM areas
GROUP BY split, category_id, category_name
ORDER BY split, category_id
