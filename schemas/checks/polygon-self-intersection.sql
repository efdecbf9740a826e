-- One row per polygon that crosses or touches itself: tools fill the places it goes around twice in different ways.
-- key: split, image_id, item_no, polygon_no
-- severity: note
-- source: polygons; degenerate polygons have no row
-- crossing: Kind and position (x y in px) of the first place.
SELECT
    split,
    image_id,
    item_no,
    polygon_no,
    polygon_crossing(points) AS crossing
FROM polygons
WHERE polygon_crossing(points) <> '' AND NOT polygon_is_flat(points)
