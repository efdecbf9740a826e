"""Checks of a registry: what is odd in it, counted against limits and accepted exceptions."""
