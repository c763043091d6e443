"""Optimal transport plans of packed sets."""
