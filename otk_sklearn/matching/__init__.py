"""Matching of sets to references, chunk by chunk, and its gradients."""
