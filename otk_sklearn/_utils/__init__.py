"""What all packages share: parts of estimators, chunks, threads, progress."""
