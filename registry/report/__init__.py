"""A page about a registry: counts, plots, checks and pictures in one file."""
