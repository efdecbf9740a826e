-- One row per item whose polygons fall into groups that do not touch each other: something hides its middle, or a polygon belongs to another item.
-- key: split, image_id, item_no
-- severity: note
-- source: items; where an item of the release has several polygons, the first is the outline and the others overlap it
-- num_groups: Groups of polygons that share no point with each other.
SELECT
    split,
    image_id,
    item_no,
    num_separate_parts(segmentation) AS num_groups,
    len(segmentation) AS num_polygons
FROM items
WHERE num_separate_parts(segmentation) > 1
