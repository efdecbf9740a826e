"""Subsets in the format of every trainer: one module a format, rows come in as Arrow batches, files go out.

A format is a :class:`registry.exports.formats.Format` named ``FORMAT`` in a module of this package, with one line
in :data:`registry.exports.formats.MODULES`; docs/formats.md shows how to write one.
"""
