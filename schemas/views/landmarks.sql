-- One row per landmark of each item, labelled or not.
-- key: split, image_id, item_no, landmark_no
-- source: items.landmarks, categories.landmark_offset
SELECT
    items.split,
    items.image_id,
    items.item_no,
    items.category_id,
    numbers.landmark_no,
    (categories.landmark_offset + numbers.landmark_no - 1)::SMALLINT AS slot,
    items.landmarks[3 * numbers.landmark_no - 2] AS x,
    items.landmarks[3 * numbers.landmark_no - 1] AS y,
    items.landmarks[3 * numbers.landmark_no] AS v
FROM items
JOIN categories ON categories.id = items.category_id
JOIN (SELECT unnest(range(1, 40))::SMALLINT AS landmark_no) AS numbers
    ON numbers.landmark_no <= categories.num_landmarks
