"""Exports of subsets in the formats of trainers: Arrow batches in, files out.

:mod:`registry.exports.run` runs an export. :mod:`registry.exports.builtin` lists the formats, ``formats/`` writes them,
``columns/`` turns whole columns into text. docs/how-to/own-format.md shows how to add a format.
"""
