"""The code of pages of the documentation that needs an engine."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "large_data.md"


def run_section(title):
    """Run the page up to a section, and the code that is in the section alone.

    Code that needs nothing else, ```` ```python ````, runs in `tests/test_documents.py`;
    that of engines is ```` ```py ````.

    Returns
    -------
    dict
        The variables.
    """
    before, _, section = PAGE.read_text().partition(f"\n## {title}\n")
    section = section.partition("\n## ")[0]
    blocks = _blocks("python", before) + _blocks("py", section)
    assert blocks, title
    namespace = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), namespace)
    return namespace


def _blocks(info, text):
    return re.findall(rf"^```{re.escape(info)}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
