"""Subsets in the format of every trainer: rows come in as Arrow batches, files go out.

:mod:`registry.exports.builtin` lists the formats, ``formats/`` writes them, ``columns/`` makes text of whole columns.
docs/formats.md shows how to add one.
"""
