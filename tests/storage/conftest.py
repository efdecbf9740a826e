"""Fixtures of the tests of places."""

from __future__ import annotations

from tests.exports.conftest import exportable, release

__all__ = ["exportable", "release"]
