"""Peak of memory."""

import resource


def peak_memory():
    """Peak of resident memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
