"""Sets of vectors: the collection, every form of input, windows, positions, samples."""
