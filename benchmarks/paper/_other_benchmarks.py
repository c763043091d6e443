"""What the scripts here share with those of `accuracy` and `speed`."""

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("accuracy", "speed")]

import _scaffold as scaffold  # noqa: E402
import _selection as selection  # noqa: E402
import _transcription_factors as peaks  # noqa: E402
import transcription_factors as networks  # noqa: E402
from _peak_memory import peak_memory  # noqa: E402
from _unrolled_layer import UnrolledPooling  # noqa: E402

__all__ = ["UnrolledPooling", "networks", "peak_memory", "peaks", "scaffold", "selection"]
