-- One row per two items of one photo and category whose boxes have an IoU above 0.9: a garment that was labelled twice.
-- key: split, image_id, item_no, other_item_no
-- slices: image_id
-- severity: warning
-- source: items; boxes without area have no row
-- iou: Intersection over union of the two boxes.
WITH boxes AS (
    SELECT split, image_id, item_no, category_id, category_name, x1, y1, x2, y2, (x2 - x1) * (y2 - y1) AS area
    FROM items
    WHERE x2 > x1 AND y2 > y1
),
pairs AS (
    SELECT
        boxes.split,
        boxes.image_id,
        boxes.item_no,
        others.item_no AS other_item_no,
        boxes.category_name,
        greatest(0, least(boxes.x2, others.x2) - greatest(boxes.x1, others.x1))
            * greatest(0, least(boxes.y2, others.y2) - greatest(boxes.y1, others.y1)) AS intersection,
        boxes.area + others.area AS both_areas
    FROM boxes
    JOIN boxes AS others
        ON others.split = boxes.split
        AND others.image_id = boxes.image_id
        AND others.category_id = boxes.category_id
        AND others.item_no > boxes.item_no
)
SELECT
    split,
    image_id,
    item_no,
    other_item_no,
    category_name,
    intersection / (both_areas - intersection) AS iou
FROM pairs
WHERE iou > 0.9
