-- One row per photo that 'df2 photos describe' could not read or decode.
-- key: split, image_id
-- severity: error
-- needs: photos
-- source: photos
SELECT split, image_id, sha256
FROM photos
WHERE dhash IS NULL
