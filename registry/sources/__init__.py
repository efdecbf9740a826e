"""Raw files of the release: folders and archives, listed and read within size limits."""
