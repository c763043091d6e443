"""The transformers of sets."""
