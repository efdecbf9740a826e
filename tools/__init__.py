"""Building, testing and releasing the package; no part of the package itself."""
