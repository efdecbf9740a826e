"""Raw files of the release: folders and archives, listed and opened within bounds."""
