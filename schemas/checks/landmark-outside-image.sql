-- One row per labelled landmark outside of its photo by more than 1 px.
-- key: split, image_id, item_no, landmark_no
-- slices: image_id
-- severity: warning
-- source: items and images; whether the last pixel is width or width - 1 differs by 1 px between tools. Photos of unknown size have no row
-- distance: How far the landmark lies outside at most.
WITH outside AS (
    SELECT
        items.split,
        items.image_id,
        item_no,
        width,
        height,
        landmarks,
        unnest(list_filter(
            range(1, len(landmarks) // 3 + 1),
            lambda n: landmarks[3 * n] > 0
                AND greatest(
                    -landmarks[3 * n - 2],
                    -landmarks[3 * n - 1],
                    landmarks[3 * n - 2] - width,
                    landmarks[3 * n - 1] - height
                ) > 1
        ))::SMALLINT AS landmark_no
    -- a join with the view landmarks would take several times the memory
    FROM items
    JOIN images ON images.split = items.split AND images.image_id = items.image_id
    WHERE width IS NOT NULL AND height IS NOT NULL
),
placed AS (
    SELECT
        * EXCLUDE (landmarks),
        landmarks[3 * landmark_no - 2] AS x,
        landmarks[3 * landmark_no - 1] AS y,
        landmarks[3 * landmark_no] AS v
    FROM outside
)
SELECT
    split,
    image_id,
    item_no,
    landmark_no,
    greatest(-x, -y, x - width, y - height) AS distance,
    x,
    y,
    v,
    width,
    height
FROM placed
