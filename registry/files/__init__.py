"""Local files: atomic writes, durability, locks, and folders of unfinished work."""
