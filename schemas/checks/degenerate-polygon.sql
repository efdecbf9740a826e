-- One row per polygon without area: fewer than three points, or all of them on a line.
-- key: split, image_id, item_no, polygon_no
-- severity: error
-- source: polygons; trainers refuse such polygons or make empty masks of them
SELECT
    split,
    image_id,
    item_no,
    polygon_no,
    len(points) // 2 AS num_points,
    points
FROM polygons
WHERE polygon_is_flat(points)
