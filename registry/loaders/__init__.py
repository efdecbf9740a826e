"""Subsets as datasets to train on, with their photos; only this room imports torch."""
