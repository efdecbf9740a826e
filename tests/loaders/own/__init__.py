"""Tests of the package's own loaders."""
