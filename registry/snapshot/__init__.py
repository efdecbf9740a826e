"""A published registry as files: its manifest, how it is written, checked, read and synchronized."""
