"""Tests of checks: their files, runs, limits and accepted exceptions."""
