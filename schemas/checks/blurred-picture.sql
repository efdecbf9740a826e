-- One row per photo that is blurred, or plain: the variance of its Laplacian is below 5.
-- key: split, image_id
-- severity: note
-- needs: photos
-- source: photos; the limit was chosen by eye for photos of some 468 x 624 px, see docs/how-to/photos.md
SELECT split, image_id, sharpness, brightness_spread
FROM photos
WHERE sharpness < 5
