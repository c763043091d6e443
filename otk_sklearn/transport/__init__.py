"""Entropic optimal transport on packed arrays alone."""
