"""Strict readers of JSON and YAML."""
