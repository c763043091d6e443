"""Embeddings that are trained with labels."""
