-- One row per pair of a consumer image and a shop image that share at least one identity.
-- key: split, user_image_id, shop_image_id
-- source: instance_pairs; 337,293 on the released train split
SELECT
    split,
    pair_id,
    user_image_id,
    shop_image_id,
    count(*) AS num_instance_pairs
FROM instance_pairs
GROUP BY split, pair_id, user_image_id, shop_image_id
