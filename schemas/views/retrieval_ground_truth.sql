-- One row per right answer of the retrieval protocol: a query item and a gallery item of the same identity.
-- key: split, query_image_id, query_item_no, gallery_image_id, gallery_item_no
-- source: query_items and gallery_items; deepfashion2_retrieval_test.py compares pair_id and style only
SELECT
    queries.split,
    queries.pair_id,
    queries.style,
    queries.image_id AS query_image_id,
    queries.item_no AS query_item_no,
    gallery.image_id AS gallery_image_id,
    gallery.item_no AS gallery_item_no
FROM query_items AS queries
JOIN gallery_items AS gallery
    ON gallery.split = queries.split
    AND gallery.pair_id = queries.pair_id
    AND gallery.style = queries.style
