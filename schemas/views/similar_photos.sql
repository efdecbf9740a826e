-- One row per pair of photos that are the same file or look alike: their difference hashes differ in at most 4 bits.
-- key: split, image_id, other_split, other_image_id
-- source: photos and images; 'df2 photos describe' fills photos. Of many photos that are the same or alike only some pairs are listed; see docs/how-to/photos.md
-- kind: The first that holds: across splits, two pair_ids, user and shop, within a pair_id, unknown (a pair_id is NULL, as in test).
WITH described AS (
    SELECT
        photos.split,
        photos.image_id,
        photos.sha256,
        photos.dhash,
        images.source,
        images.pair_id,
        count(*) OVER (PARTITION BY photos.sha256) AS num_same,
        row_number() OVER (PARTITION BY photos.sha256, photos.split ORDER BY photos.image_id) AS same_no,
        count(*) OVER (PARTITION BY photos.dhash) AS num_alike,
        row_number() OVER (PARTITION BY photos.dhash, photos.split ORDER BY photos.image_id) AS alike_no
    FROM photos
    LEFT JOIN images ON photos.split = images.split AND photos.image_id = images.image_id
),

bands AS (
    -- Every sixth bit of a hash, from each of the six lowest on.
    SELECT unnest(range(6)) AS band, unnest([
        1171221845949812801, 2342443691899625602, 4684887383799251204,
        -9076969306111049208, 292805461487453200, 585610922974906400
    ]) AS mask
),

keys AS (
    -- 4 bits lie in at most 4 of the 6 bands, so two hashes that differ in no more have two bands in common.
    SELECT hashes.dhash, first.band, second.band AS second_band, hashes.dhash & (first.mask | second.mask) AS bits
    FROM (SELECT DISTINCT dhash FROM described WHERE dhash IS NOT NULL) AS hashes
    CROSS JOIN bands AS first
    INNER JOIN bands AS second ON first.band < second.band
),

alike_hashes AS (
    SELECT DISTINCT a.dhash, b.dhash AS other_dhash
    FROM keys AS a
    INNER JOIN keys AS b
        ON a.band = b.band AND a.second_band = b.second_band AND a.bits = b.bits
    WHERE a.dhash < b.dhash AND bit_count(xor(a.dhash, b.dhash)) <= 4
),

nearest_hashes AS (
    -- The 20 hashes nearest to each: the hashes of plain photos resemble thousands of others.
    SELECT DISTINCT least(dhash, near.other) AS dhash, greatest(dhash, near.other) AS other_dhash
    FROM (
        SELECT
            dhash,
            unnest(min({'distance': bit_count(xor(dhash, other_dhash)), 'other': other_dhash}, 20)) AS near
        FROM (
            FROM alike_hashes
            UNION ALL
            SELECT other_dhash, dhash FROM alike_hashes
        )
        GROUP BY dhash
    )
),

pairs AS (
    -- Of more than 100 photos that are the same, or have the same hash, each is compared with the first of its split,
    -- and only these firsts with other photos: 5,000 photos would make 12 million pairs.
    SELECT a, b, true AS has_same_bytes
    FROM (FROM described WHERE num_same <= 100 OR same_no = 1) AS a
    INNER JOIN described AS b ON a.sha256 = b.sha256
    WHERE
        (a.split, a.image_id) < (b.split, b.image_id)
        AND (a.num_same <= 100 OR a.split = b.split OR b.same_no = 1)
    UNION ALL
    SELECT a, b, false
    FROM (FROM described WHERE num_alike <= 100 OR alike_no = 1) AS a
    INNER JOIN described AS b ON a.dhash = b.dhash
    WHERE
        (a.split, a.image_id) < (b.split, b.image_id)
        AND (a.num_alike <= 100 OR a.split = b.split OR b.alike_no = 1)
        AND a.sha256 IS DISTINCT FROM b.sha256
    UNION ALL
    SELECT
        CASE WHEN (a.split, a.image_id) < (b.split, b.image_id) THEN a ELSE b END,
        CASE WHEN (a.split, a.image_id) < (b.split, b.image_id) THEN b ELSE a END,
        false
    FROM nearest_hashes
    INNER JOIN (FROM described WHERE num_alike <= 100 OR alike_no = 1) AS a USING (dhash)
    INNER JOIN (FROM described WHERE num_alike <= 100 OR alike_no = 1) AS b ON other_dhash = b.dhash
    WHERE a.sha256 IS DISTINCT FROM b.sha256
)

SELECT
    a.split,
    a.image_id,
    b.split AS other_split,
    b.image_id AS other_image_id,
    CASE
        WHEN a.split <> b.split THEN 'across splits'
        WHEN a.pair_id <> b.pair_id THEN 'two pair_ids'
        WHEN a.source <> b.source THEN 'user and shop'
        WHEN a.pair_id = b.pair_id THEN 'within a pair_id'
        ELSE 'unknown'
    END AS kind,
    bit_count(xor(a.dhash, b.dhash))::INTEGER AS distance,
    has_same_bytes,
    a.source,
    b.source AS other_source,
    a.pair_id,
    b.pair_id AS other_pair_id
FROM pairs
