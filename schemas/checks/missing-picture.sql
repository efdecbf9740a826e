-- One row per image without a photo in the source, in a split that has other photos.
-- key: split, image_id
-- severity: error
-- source: images; the size of a photo is known where the ingestion found it. A split ingested without photos or --no-image-sizes has no row
SELECT
    split,
    image_id,
    file_name,
    num_items
FROM images
WHERE width IS NULL AND split IN (SELECT split FROM images WHERE width IS NOT NULL)
