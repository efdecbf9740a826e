-- One row per split and category that occurs in it.
-- key: split, category_id
-- source: items
-- num_items: Items of the category in the split.
SELECT
    split,
    category_id,
    category_name,
    count(*) AS num_items,
    count(*) FILTER (WHERE source = 'user') AS num_user_items,
    count(*) FILTER (WHERE source = 'shop') AS num_shop_items,
    count(DISTINCT image_id) AS num_images
FROM items
GROUP BY split, category_id, category_name
ORDER BY split, category_id
