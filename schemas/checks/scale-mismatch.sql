-- One row per item whose scale does not fit the share of the photo that its box takes: small under 10 %, large over 40 %.
-- key: split, image_id, item_no
-- slices: image_id
-- severity: note
-- source: items and images; the thresholds are the author's (DF2 issue 46). Unknown scales, photos of unknown size and boxes without area have no row
-- share: Area of the box as a share of the photo's.
-- expected_scale: Scale by that share.
WITH shares AS (
    SELECT
        items.split,
        items.image_id,
        item_no,
        scale,
        (x2 - x1) * (y2 - y1) / (width::DOUBLE * height) AS share
    FROM items
    JOIN images ON images.split = items.split AND images.image_id = items.image_id
    WHERE x2 > x1 AND y2 > y1 AND width > 0 AND height > 0
)
SELECT
    split,
    image_id,
    item_no,
    scale,
    CASE WHEN share < 0.1 THEN 1 WHEN share <= 0.4 THEN 2 ELSE 3 END AS expected_scale,
    share
FROM shares
WHERE scale <> expected_scale
