-- One row per photo so dark that garments are hardly seen: the mean of its grey pixels, 0 to 255, is below 32.
-- key: split, image_id
-- severity: note
-- needs: photos
-- source: photos; the limit was chosen by eye, see docs/how-to/photos.md
SELECT split, image_id, brightness
FROM photos
WHERE brightness < 32
