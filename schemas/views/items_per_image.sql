-- One row per split, source and number of items: how many annotated images have so many.
-- key: split, source, num_items
-- source: images, items
-- num_items: Items in each of these images.
-- num_images: Annotated images with so many items.
-- share: Share of the annotated images of the split and source.
WITH counted AS (
    SELECT
        images.split,
        images.source,
        count(items.item_no) AS num_items
    FROM images
    LEFT JOIN items
        ON items.split = images.split
        AND items.image_id = images.image_id
    WHERE images.num_items IS NOT NULL
    GROUP BY images.split, images.image_id, images.source
)
SELECT
    split,
    source,
    num_items,
    count(*) AS num_images,
    count(*) / sum(count(*)) OVER (PARTITION BY split, source) AS share
FROM counted
GROUP BY split, source, num_items
ORDER BY split, source, num_items
