-- One row per split, width and height: how many photos have this size; NULL where it is not known.
-- key: split, width, height
-- source: images
-- share: Share of the images of the split.
SELECT
    split,
    width,
    height,
    count(*) AS num_images,
    count(*) / sum(count(*)) OVER (PARTITION BY split) AS share
FROM images
GROUP BY split, width, height
ORDER BY split, num_images DESC, width NULLS LAST, height NULLS LAST
