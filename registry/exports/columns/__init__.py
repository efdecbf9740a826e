"""Columns of rows as text, boxes and polygons for the export formats."""
