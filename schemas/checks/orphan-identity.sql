-- One row per identity seen on one side only, in consumer or in shop photos: it makes no pair.
-- key: split, pair_id, style
-- slices: pair_id
-- severity: note
-- source: items; such styles are in the release (DF2 issue 58). An identity with an item of unknown source is none
SELECT
    split,
    pair_id,
    style,
    min(source) AS source,
    count(*) AS num_items,
    count(DISTINCT image_id) AS num_images
FROM items
WHERE style > 0 AND pair_id IS NOT NULL
GROUP BY split, pair_id, style
HAVING count(source) = count(*) AND min(source) = max(source)
