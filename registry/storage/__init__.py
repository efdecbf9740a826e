"""Places: folders, local or remote, and the file systems that reach them."""
