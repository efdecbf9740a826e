-- One row per item whose box and the extent of whose polygons have an IoU below 0.8: they do not show the same garment.
-- key: split, image_id, item_no
-- severity: warning
-- source: items; in released validation data the median is 0.965, the lowest 0.43. Boxes without area have no row
-- iou: Intersection over union of the box and the extent of all polygons.
WITH points AS (
    SELECT split, image_id, item_no, x1, y1, x2, y2, flatten(segmentation) AS points
    FROM items
    WHERE x2 > x1 AND y2 > y1
),
extents AS (
    SELECT
        * EXCLUDE (points),
        list_min(points[1:-:2]) AS left_edge,
        list_min(points[2:-:2]) AS top_edge,
        list_max(points[1:-:2]) AS right_edge,
        list_max(points[2:-:2]) AS bottom_edge
    FROM points
),
compared AS (
    SELECT
        *,
        greatest(0, least(x2, right_edge) - greatest(x1, left_edge))
            * greatest(0, least(y2, bottom_edge) - greatest(y1, top_edge)) AS intersection
    FROM extents
    WHERE left_edge IS NOT NULL
)
SELECT
    split,
    image_id,
    item_no,
    intersection / (
        (x2 - x1) * (y2 - y1) + (right_edge - left_edge) * (bottom_edge - top_edge) - intersection
    ) AS iou,
    x1,
    y1,
    x2,
    y2,
    left_edge,
    top_edge,
    right_edge,
    bottom_edge
FROM compared
WHERE iou < 0.8
