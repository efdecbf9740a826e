-- One row per positive pair: a consumer item and a shop item of one identity; the category is not part of the rule.
-- key: split, user_image_id, user_item_no, shop_image_id, shop_item_no
-- source: items; the rule of the official evaluation, which gives 394,661 pairs on the released train split
SELECT
    users.split,
    users.pair_id,
    users.style,
    users.image_id AS user_image_id,
    users.item_no AS user_item_no,
    users.category_id AS user_category_id,
    shops.image_id AS shop_image_id,
    shops.item_no AS shop_item_no,
    shops.category_id AS shop_category_id
FROM items AS users
JOIN items AS shops
    ON shops.split = users.split
    AND shops.pair_id = users.pair_id
    AND shops.style = users.style
WHERE users.source = 'user'
    AND shops.source = 'shop'
    AND users.style > 0
    AND shops.style > 0
