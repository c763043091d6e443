"""Features of single elements: kernels, anchors, whitening."""
