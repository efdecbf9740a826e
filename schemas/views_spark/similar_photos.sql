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

bands (band, mask) AS (
    -- Every sixth bit of a hash, from each of the six lowest on.
    VALUES
        (0, 1171221845949812801),
        (1, 2342443691899625602),
        (2, 4684887383799251204),
        (3, -9076969306111049208),
        (4, 292805461487453200),
        (5, 585610922974906400)
),

keys AS (
    -- 4 bits lie in at most 4 of the 6 bands, so two hashes that differ in no more have two bands in common.
    SELECT hashes.dhash, a.band, b.band AS second_band, hashes.dhash & (a.mask | b.mask) AS bits
    FROM (SELECT DISTINCT dhash FROM described WHERE dhash IS NOT NULL) AS hashes
    CROSS JOIN bands AS a
    INNER JOIN bands AS b ON a.band < b.band
),

alike_hashes AS (
    SELECT dhash, other_dhash, bit_count(dhash ^ other_dhash) AS distance
    FROM (
        SELECT DISTINCT a.dhash, b.dhash AS other_dhash
        FROM keys AS a
        INNER JOIN keys AS b
            ON a.band = b.band AND a.second_band = b.second_band AND a.bits = b.bits
        WHERE a.dhash <> b.dhash AND bit_count(a.dhash ^ b.dhash) <= 4
    ) AS pairs
),

nearest_hashes AS (
    -- The 20 hashes nearest to each: the hashes of plain photos resemble thousands of others.
    SELECT DISTINCT least(dhash, other_dhash) AS dhash, greatest(dhash, other_dhash) AS other_dhash
    FROM (
        SELECT dhash, other_dhash, row_number() OVER (PARTITION BY dhash ORDER BY distance, other_dhash) AS nearness
        FROM alike_hashes
    ) AS a
    WHERE nearness <= 20
),

pairs AS (
    -- Of more than 100 photos that are the same, or have the same hash, each is compared with the first of its split,
    -- and only these firsts with other photos: 5,000 photos would make 12 million pairs.
    SELECT
        a.*,
        b.split AS other_split,
        b.image_id AS other_image_id,
        b.dhash AS other_dhash,
        b.source AS other_source,
        b.pair_id AS other_pair_id,
        true AS has_same_bytes
    FROM described AS a
    INNER JOIN described AS b ON a.sha256 = b.sha256
    WHERE
        (a.split, a.image_id) < (b.split, b.image_id)
        AND (a.num_same <= 100 OR a.same_no = 1)
        AND (a.num_same <= 100 OR a.split = b.split OR b.same_no = 1)
    UNION ALL
    SELECT a.*, b.split, b.image_id, b.dhash, b.source, b.pair_id, false
    FROM described AS a
    INNER JOIN described AS b ON a.dhash = b.dhash
    WHERE
        (a.split, a.image_id) < (b.split, b.image_id)
        AND (a.num_alike <= 100 OR a.alike_no = 1)
        AND (a.num_alike <= 100 OR a.split = b.split OR b.alike_no = 1)
        AND a.sha256 IS DISTINCT FROM b.sha256
    UNION ALL
    SELECT a.*, b.split, b.image_id, b.dhash, b.source, b.pair_id, false
    FROM nearest_hashes
    INNER JOIN described AS a ON a.dhash = nearest_hashes.dhash
    INNER JOIN described AS b ON b.dhash = nearest_hashes.other_dhash
    WHERE
        (a.split, a.image_id) < (b.split, b.image_id)
        AND (a.num_alike <= 100 OR a.alike_no = 1)
        AND (b.num_alike <= 100 OR b.alike_no = 1)
        AND a.sha256 IS DISTINCT FROM b.sha256
    UNION ALL
    SELECT a.*, b.split, b.image_id, b.dhash, b.source, b.pair_id, false
    FROM nearest_hashes
    INNER JOIN described AS a ON a.dhash = nearest_hashes.other_dhash
    INNER JOIN described AS b ON b.dhash = nearest_hashes.dhash
    WHERE
        (a.split, a.image_id) < (b.split, b.image_id)
        AND (a.num_alike <= 100 OR a.alike_no = 1)
        AND (b.num_alike <= 100 OR b.alike_no = 1)
        AND a.sha256 IS DISTINCT FROM b.sha256
)

SELECT
    split,
    image_id,
    other_split,
    other_image_id,
    CASE
        WHEN split <> other_split THEN 'across splits'
        WHEN pair_id <> other_pair_id THEN 'two pair_ids'
        WHEN source <> other_source THEN 'user and shop'
        WHEN pair_id = other_pair_id THEN 'within a pair_id'
        ELSE 'unknown'
    END AS kind,
    CAST(bit_count(dhash ^ other_dhash) AS INTEGER) AS distance,
    has_same_bytes,
    source,
    other_source,
    pair_id,
    other_pair_id
FROM pairs
