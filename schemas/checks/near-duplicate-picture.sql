-- One row per pair of photos that look alike without being the same file: difference hashes at most 4 bits apart.
-- key: split, image_id, other_split, other_image_id
-- severity: note
-- needs: photos
-- source: similar_photos, which says the kinds; plain photos resemble thousands of others, so each hash is compared with its nearest alone
SELECT * EXCLUDE (has_same_bytes)
FROM similar_photos
WHERE NOT has_same_bytes
