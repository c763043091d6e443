"""Compiled functions, by subject."""
