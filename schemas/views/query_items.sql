-- One row per query item of the retrieval protocol: a consumer item with style > 0.
-- key: split, image_id, item_no
-- source: items; 12,377 in the released validation split
SELECT *
FROM items
WHERE source = 'user' AND style > 0
