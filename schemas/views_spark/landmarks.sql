-- One row per landmark of each item, labelled or not.
-- key: split, image_id, item_no, landmark_no
-- source: items.landmarks, landmark_slots
SELECT
    items.split,
    items.image_id,
    items.item_no,
    items.category_id,
    landmark_slots.landmark_no,
    landmark_slots.slot,
    element_at(items.landmarks, 3 * landmark_slots.landmark_no - 2) AS x,
    element_at(items.landmarks, 3 * landmark_slots.landmark_no - 1) AS y,
    element_at(items.landmarks, 3 * landmark_slots.landmark_no) AS v
FROM items
JOIN landmark_slots ON landmark_slots.category_id = items.category_id
