-- One row per image without annotation, in a split that has other annotations; the file may be in quarantine.
-- key: split, image_id
-- severity: warning
-- source: images and quarantine. Photos beside annotation files that have none themselves are not in the registry: 'df2 ingest' lists them
-- file: Path of the annotation file in quarantine; NULL if there is none.
WITH annotated AS (
    SELECT DISTINCT split
    FROM images
    WHERE num_items IS NOT NULL
)
SELECT
    split,
    image_id,
    NULL::VARCHAR AS file
FROM images
WHERE num_items IS NULL AND split IN (SELECT split FROM annotated)
UNION ALL
SELECT
    split,
    try_cast(regexp_extract(file, '(\d+)\.json$', 1) AS INTEGER) AS image_id,
    file
FROM quarantine
WHERE split IN (SELECT split FROM annotated)
