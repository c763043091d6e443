"""Compiled functions, by subject; each forward pass stands beside its gradients."""
