-- One row per photo with an EXIF tag that turns or mirrors it where it is shown; annotations count the stored pixels.
-- key: split, image_id
-- severity: warning
-- source: images, or photos where images was ingested without the photos; see docs/how-to/turned-photos.md
SELECT
    coalesce(images.split, photos.split) AS split,
    coalesce(images.image_id, photos.image_id) AS image_id,
    coalesce(images.orientation, photos.orientation) AS orientation
FROM images
FULL JOIN photos ON images.split = photos.split AND images.image_id = photos.image_id
WHERE coalesce(images.orientation, photos.orientation) > 1
