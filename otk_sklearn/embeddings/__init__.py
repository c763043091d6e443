"""Transformers of sets: embeddings, and transformers of their elements."""
