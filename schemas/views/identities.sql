-- One row per identity: the items of one split with the same pair_id and the same style > 0.
-- key: split, pair_id, style
-- source: items; style 0 is no identity (DF2 issue 10)
SELECT
    split,
    pair_id,
    style,
    count(*) FILTER (WHERE source = 'user') AS num_user_items,
    count(*) FILTER (WHERE source = 'shop') AS num_shop_items,
    count(DISTINCT image_id) AS num_images,
    array_sort(array_agg(DISTINCT category_name)) AS categories
FROM items
WHERE style > 0
GROUP BY split, pair_id, style
