-- One row per item with no labelled landmark.
-- key: split, image_id, item_no
-- severity: note
-- source: items; such items are in the release (DF2 issue 24). Items whose landmarks are unknown have no row
SELECT
    split,
    image_id,
    item_no,
    category_name
FROM items
WHERE num_landmarks_labelled = 0
