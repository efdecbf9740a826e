-- One row per item whose box reaches out of its photo by more than 1 px.
-- key: split, image_id, item_no
-- severity: warning
-- source: items and images; whether the last pixel is width or width - 1 differs by 1 px between tools. Photos of unknown size have no row
-- distance: How far the box reaches out at most.
SELECT
    items.split,
    items.image_id,
    item_no,
    greatest(-least(x1, x2), -least(y1, y2), greatest(x1, x2) - width, greatest(y1, y2) - height) AS distance,
    x1,
    y1,
    x2,
    y2,
    width,
    height
FROM items
JOIN images ON images.split = items.split AND images.image_id = items.image_id
WHERE greatest(-least(x1, x2), -least(y1, y2), greatest(x1, x2) - width, greatest(y1, y2) - height) > 1
    AND width IS NOT NULL
    AND height IS NOT NULL
