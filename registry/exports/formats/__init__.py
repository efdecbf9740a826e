"""The built-in export formats, one file each."""
