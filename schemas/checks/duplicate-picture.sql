-- One row per pair of photos that are the same file, byte for byte.
-- key: split, image_id, other_split, other_image_id
-- severity: warning
-- needs: photos
-- source: similar_photos, which says the kinds; of more than 100 same files, each stands beside the first of its split
SELECT
    split,
    image_id,
    other_split,
    other_image_id,
    kind,
    0 AS distance,
    source,
    other_source,
    pair_id,
    other_pair_id
FROM similar_photos
WHERE has_same_bytes
