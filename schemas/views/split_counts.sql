-- One row per split: how many of everything.
-- key: split
-- source: images, items, identities, instance_pairs, image_pairs, quarantine
-- num_items: Items of the split.
WITH image_counts AS (
    SELECT
        split,
        count(*) AS num_images,
        count(*) FILTER (WHERE source = 'user') AS num_user_images,
        count(*) FILTER (WHERE source = 'shop') AS num_shop_images,
        count(DISTINCT pair_id) AS num_pair_ids
    FROM images
    GROUP BY split
),
item_counts AS (
    SELECT
        split,
        count(*) AS num_items,
        count(*) FILTER (WHERE source = 'user' AND style > 0) AS num_query_items,
        count(*) FILTER (WHERE source = 'shop') AS num_gallery_items
    FROM items
    GROUP BY split
),
identity_counts AS (
    SELECT
        split,
        count(*) AS num_identities,
        sum(num_user_items * num_shop_items)::BIGINT AS num_instance_pairs
    FROM identities
    GROUP BY split
),
pair_counts AS (
    SELECT
        split,
        count(*) AS num_image_pairs
    FROM image_pairs
    GROUP BY split
),
quarantine_counts AS (
    SELECT
        split,
        count(*) AS num_quarantined
    FROM quarantine
    GROUP BY split
)
SELECT
    split,
    num_images,
    num_user_images,
    num_shop_images,
    coalesce(num_items, 0) AS num_items,
    num_pair_ids,
    coalesce(num_identities, 0) AS num_identities,
    coalesce(num_instance_pairs, 0) AS num_instance_pairs,
    coalesce(num_image_pairs, 0) AS num_image_pairs,
    coalesce(num_query_items, 0) AS num_query_items,
    coalesce(num_gallery_items, 0) AS num_gallery_items,
    coalesce(num_quarantined, 0) AS num_quarantined
FROM image_counts
LEFT JOIN item_counts USING (split)
LEFT JOIN identity_counts USING (split)
LEFT JOIN pair_counts USING (split)
LEFT JOIN quarantine_counts USING (split)
ORDER BY split
