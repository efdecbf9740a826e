-- One row per split, attribute and code: how many items carry it.
-- key: split, attribute, code
-- source: items; the meanings are the dataset README's
-- num_items: Items of the split with this code.
WITH codes AS (
    SELECT split, 'scale' AS attribute, scale AS code FROM items
    UNION ALL
    SELECT split, 'occlusion', occlusion FROM items
    UNION ALL
    SELECT split, 'zoom_in', zoom_in FROM items
    UNION ALL
    SELECT split, 'viewpoint', viewpoint FROM items
),
meanings (attribute, code, meaning) AS (
    VALUES
        ('scale', 1, 'small'),
        ('scale', 2, 'moderate'),
        ('scale', 3, 'large'),
        ('occlusion', 1, 'slight or none'),
        ('occlusion', 2, 'medium'),
        ('occlusion', 3, 'heavy'),
        ('zoom_in', 1, 'none'),
        ('zoom_in', 2, 'medium'),
        ('zoom_in', 3, 'large'),
        ('viewpoint', 1, 'no wear'),
        ('viewpoint', 2, 'frontal'),
        ('viewpoint', 3, 'side or back')
)
SELECT
    split,
    attribute,
    code,
    meaning,
    count(*) AS num_items,
    count(*) / sum(count(*)) OVER (PARTITION BY split, attribute) AS share
FROM codes
JOIN meanings USING (attribute, code)
GROUP BY split, attribute, code, meaning
ORDER BY split, attribute, code
