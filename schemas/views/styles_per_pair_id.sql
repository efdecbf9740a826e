-- One row per split and number of styles: how many values of pair_id have so many identities.
-- key: split, num_styles
-- source: images, identities
-- num_styles: Different styles above 0 under each of these values of pair_id.
-- num_pair_ids: Values of pair_id with so many styles.
-- share: Share of the values of pair_id of the split.
WITH counted AS (
    SELECT
        images.split,
        images.pair_id,
        count(DISTINCT identities.style) AS num_styles
    FROM images
    LEFT JOIN identities
        ON identities.split = images.split
        AND identities.pair_id = images.pair_id
    WHERE images.pair_id IS NOT NULL
    GROUP BY images.split, images.pair_id
)
SELECT
    split,
    num_styles,
    count(*) AS num_pair_ids,
    count(*) / sum(count(*)) OVER (PARTITION BY split) AS share
FROM counted
GROUP BY split, num_styles
ORDER BY split, num_styles
