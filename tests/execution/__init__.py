"""Tests of the room registry/execution."""
