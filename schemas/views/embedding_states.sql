-- One row per item whose vector is missing or stale, and per vector of no item, of each model and the splits it has.
-- key: split, image_id, item_no, model
-- source: embeddings, embedding_models, items and photos
-- state: missing: the item has no vector, stale: its box or photo is another than the vector was made of, unknown: there is no such item.
SELECT
    embeddings.model,
    embeddings.split,
    embeddings.image_id,
    embeddings.item_no,
    CASE WHEN items.split IS NULL THEN 'unknown' ELSE 'stale' END AS state
FROM embeddings
LEFT JOIN items
    ON
        embeddings.split = items.split
        AND embeddings.image_id = items.image_id
        AND embeddings.item_no = items.item_no
LEFT JOIN photos ON embeddings.split = photos.split AND embeddings.image_id = photos.image_id
WHERE
    items.split IS NULL
    OR (embeddings.x1, embeddings.y1, embeddings.x2, embeddings.y2) <> (items.x1, items.y1, items.x2, items.y2)
    OR embeddings.sha256 <> photos.sha256
UNION ALL
SELECT
    embedding_models.model,
    items.split,
    items.image_id,
    items.item_no,
    'missing' AS state
FROM embedding_models
INNER JOIN items ON embedding_models.split = items.split
ANTI JOIN embeddings
    ON
        embedding_models.model = embeddings.model
        AND items.split = embeddings.split
        AND items.image_id = embeddings.image_id
        AND items.item_no = embeddings.item_no
