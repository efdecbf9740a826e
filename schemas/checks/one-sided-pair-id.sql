-- One row per pair_id with photos of consumers only, or of shops only: none of its items makes a pair.
-- key: split, pair_id
-- severity: note
-- source: images. A pair_id with a photo of unknown source is none
SELECT
    split,
    pair_id,
    min(source) AS source,
    count(*) AS num_images
FROM images
WHERE pair_id IS NOT NULL
GROUP BY split, pair_id
HAVING count(source) = count(*) AND min(source) = max(source)
