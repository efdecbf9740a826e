-- One row per style above 0 that several items of one photo have: the same garment twice in one picture.
-- key: split, image_id, style
-- slices: image_id
-- severity: note
-- source: items; such photos are in the release
SELECT
    split,
    image_id,
    style,
    count(*) AS num_items,
    list_sort(list(item_no)) AS item_nos,
    list_sort(list(DISTINCT category_name)) AS categories
FROM items
WHERE style > 0
GROUP BY split, image_id, style
HAVING count(*) > 1
