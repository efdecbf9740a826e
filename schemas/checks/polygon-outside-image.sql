-- One row per polygon that reaches out of its photo by more than 2 px.
-- key: split, image_id, item_no, polygon_no
-- slices: image_id
-- severity: warning
-- source: polygons and images; polygons of the release leave the photo by about a pixel. Photos of unknown size have no row
-- distance: How far the polygon reaches out at most.
SELECT
    polygons.split,
    polygons.image_id,
    item_no,
    polygon_no,
    greatest(
        -list_min(points[1:-:2]),
        -list_min(points[2:-:2]),
        list_max(points[1:-:2]) - width,
        list_max(points[2:-:2]) - height
    ) AS distance,
    width,
    height
FROM polygons
JOIN images ON images.split = polygons.split AND images.image_id = polygons.image_id
WHERE width IS NOT NULL AND height IS NOT NULL AND distance > 2
