-- One row per photo whose shorter side has less than 128 px, about a quarter of most photos of the release.
-- key: split, image_id
-- severity: note
-- source: images, or photos where images was ingested without the photos; the limit was chosen by eye, see docs/how-to/photos.md
SELECT
    coalesce(images.split, photos.split) AS split,
    coalesce(images.image_id, photos.image_id) AS image_id,
    coalesce(images.width, photos.width) AS width,
    coalesce(images.height, photos.height) AS height
FROM images
FULL JOIN photos ON images.split = photos.split AND images.image_id = photos.image_id
WHERE least(coalesce(images.width, photos.width), coalesce(images.height, photos.height)) < 128
