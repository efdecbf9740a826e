"""Subsets in the format of every trainer: one module a format, rows come in as Arrow batches, files go out.

A format is a :class:`registry.exports.format.Format` named ``FORMAT`` in a module of this package, with one line
in :data:`registry.exports.format.MODULES`; docs/formats.md shows how to write one.
"""
