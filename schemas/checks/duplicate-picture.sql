-- One row per pair of photos that are the same file, byte for byte.
-- key: split, image_id, other_split, other_image_id
-- severity: warning
-- needs: photos
-- source: similar_photos, which says the kinds; of more than 100 same files, each stands beside the first of its split
SELECT * EXCLUDE (has_same_bytes) REPLACE (0 AS distance)
FROM similar_photos
WHERE has_same_bytes
