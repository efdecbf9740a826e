-- One row per identity whose items are of several categories: the same garment under two names.
-- key: split, pair_id, style
-- slices: pair_id
-- severity: warning
-- source: items; 95 of 3,043 identities in an early ground truth
SELECT
    split,
    pair_id,
    style,
    list_sort(list(DISTINCT category_name)) AS categories,
    count(*) AS num_items
FROM items
WHERE style > 0 AND pair_id IS NOT NULL
GROUP BY split, pair_id, style
HAVING min(category_id) < max(category_id)
