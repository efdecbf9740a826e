-- One row per gallery item of the retrieval protocol: every shop item, style 0 included.
-- key: split, image_id, item_no
-- source: items; 36,961 in the released validation split
SELECT *
FROM items
WHERE source = 'shop'
