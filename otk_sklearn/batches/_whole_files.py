"""Files that are complete or absent, whenever the process ends."""

import contextlib
import os
import time
from pathlib import Path


@contextlib.contextmanager
def written_whole(path):
    """Yield a temporary path beside this one, which gets its name once it is complete.

    What earlier processes have left there that were killed is removed.

    Parameters
    ----------
    path : Path
    """
    for left in _leftovers(path):
        left.unlink(missing_ok=True)
    # Readers of folders of Parquet files leave out names that start with a dot.
    token = f"{os.getpid()}-{time.time_ns():x}"
    temporary = path.with_name(f".{path.name}.{token}.incomplete")
    try:
        yield temporary
        _rename(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _rename(temporary, path):
    try:
        os.replace(temporary, path)
    except FileNotFoundError as error:
        raise RuntimeError(
            f"{str(path)!r} is written by another process at the same time, which has "
            "removed what this one wrote; expected one process for each file."
        ) from error


def _leftovers(path):
    """Temporary files of this path, as a list."""
    start = f".{path.name}."
    return [
        file
        for file in Path(path).parent.glob("*.incomplete")
        if file.name.startswith(start)
    ]
