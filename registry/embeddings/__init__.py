"""Vectors of items: kept beside a registry as versioned data, and searched for the nearest."""
