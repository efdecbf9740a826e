-- One row per identity seen on one side only, in consumer or in shop photos: it makes no pair.
-- key: split, pair_id, style
-- source: identities; such styles are in the release (DF2 issue 58)
SELECT
    split,
    pair_id,
    style,
    num_user_items,
    num_shop_items,
    num_images,
    categories
FROM identities
WHERE num_user_items = 0 OR num_shop_items = 0
