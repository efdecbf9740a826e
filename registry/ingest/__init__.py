"""Raw files -> tables."""
