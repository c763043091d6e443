"""Utilities for all packages: estimators, chunks, thread limits, progress, scikit-learn."""
