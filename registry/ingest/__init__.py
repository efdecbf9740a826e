"""Ingestion: raw files to tables."""
