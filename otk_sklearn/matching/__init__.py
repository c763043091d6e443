"""Sets matched to references, chunk by chunk, and the same backwards."""
