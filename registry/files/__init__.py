"""Local files: written whole, on the disk when that is said, locked, cleared."""
