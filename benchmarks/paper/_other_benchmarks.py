"""Puts the folders of the other benchmarks on the path; imported before their modules."""

import sys
from pathlib import Path

sys.path += [str(Path(__file__).parents[1] / folder) for folder in ("accuracy", "speed")]
