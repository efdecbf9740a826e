-- One row per split, variation and value: the numbers of Figure 3 of the dataset's paper and README.
-- key: split, variation, code
-- source: attribute_counts, category_counts
-- code: Code of the attribute, or category_id.
-- num_items: Items of the split with this value.
SELECT
    split,
    attribute AS variation,
    code,
    meaning AS value,
    num_items,
    share
FROM attribute_counts
UNION ALL
SELECT
    split,
    'category',
    category_id,
    category_name,
    num_items,
    num_items / sum(num_items) OVER (PARTITION BY split)
FROM category_counts
ORDER BY split, variation, code
