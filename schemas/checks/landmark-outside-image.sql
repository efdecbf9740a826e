-- One row per labelled landmark outside of its photo by more than 1 px.
-- key: split, image_id, item_no, landmark_no
-- severity: warning
-- source: landmarks and images; whether the last pixel is width or width - 1 differs by 1 px between tools. Photos of unknown size have no row
-- distance: How far the landmark lies outside at most.
SELECT
    landmarks.split,
    landmarks.image_id,
    item_no,
    landmark_no,
    greatest(-x, -y, x - width, y - height) AS distance,
    x,
    y,
    v,
    width,
    height
FROM landmarks
JOIN images ON images.split = landmarks.split AND images.image_id = landmarks.image_id
WHERE v > 0 AND width IS NOT NULL AND height IS NOT NULL AND greatest(-x, -y, x - width, y - height) > 1
