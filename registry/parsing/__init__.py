"""Strict parsers of JSON and YAML."""
