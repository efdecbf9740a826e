"""Which items: the options of a subset, re-splits, and the rows that leave a registry."""
