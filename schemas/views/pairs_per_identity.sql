-- One row per split and number of pairs: how many identities make so many positive pairs of items.
-- key: split, num_instance_pairs
-- source: identities; 0 pairs are orphan identities (DF2 issue 58)
-- num_instance_pairs: Positive pairs of items that each of these identities makes.
-- num_identities: Identities that make so many pairs.
-- share: Share of the identities of the split.
SELECT
    split,
    num_user_items * num_shop_items AS num_instance_pairs,
    count(*) AS num_identities,
    count(*) / sum(count(*)) OVER (PARTITION BY split) AS share
FROM identities
GROUP BY split, num_user_items * num_shop_items
ORDER BY split, num_instance_pairs
