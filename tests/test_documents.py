"""The Python code on the README and the documentation's pages runs as it stands."""

import re
import runpy
import tomllib
from pathlib import Path

import pytest
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_on_page_runs(page, capsys):
    blocks = re.findall(
        r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE
    )
    assert blocks or page.name not in ("README.md", "sets.md")
    for module in ["torch", "skorch", "torch_geometric"]:
        if re.search(rf"^(import|from) {module}\b", "".join(blocks), re.MULTILINE):
            pytest.importorskip(module)
    namespace = {}
    for block in blocks:  # each goes on where the one before stopped
        exec(compile(block, str(page), "exec"), namespace)


def test_the_demonstration_runs_and_draws(tmp_path, monkeypatch, capsys):
    """The README's; building the documentation runs all examples."""
    picture = tmp_path / "picture.png"
    monkeypatch.setattr("sys.argv", ["digits_point_sets.py", str(picture)])
    runpy.run_path(str(ROOT / "docs" / "examples" / "digits_point_sets.py"))
    assert picture.stat().st_size > 50_000


def test_pictures_of_pages_are_drawn_from_their_tables():
    pictures = runpy.run_path(str(ROOT / "docs" / "images" / "draw_guide.py"))["PICTURES"]
    files = {path.name for path in (ROOT / "docs" / "images").glob("guide_*.png")}
    assert files == {f"guide_{name}.png" for name in pictures}
    text = "".join(page.read_text() for page in PAGES)
    assert all(f"images/{name}" in text for name in files)

    for name in ["training", "speed", "networks", "tokens"]:
        plt.close(pictures[name]())
    bars = pictures["accuracy"]().axes[0].containers[-1]  # of `OTKEmbedding()`
    heights = [bar.get_height() for bar in bars]
    assert heights == [0.987, 1, 0.964, 0.952, 0.844, 0.927, 0.991, 1, 0.973]
    curves = pictures["defaults"]().axes[1].lines  # by epsilon; the second is of digits
    assert curves[1].get_ydata().tolist() == [0.934, 0.934, 0.936, 0.926, 0.852, 0.783]
    plt.close("all")


def test_links_between_documents_lead_somewhere():
    for page in [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]:
        text = page.read_text()
        targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
        for target in targets + re.findall(r'\bsrc(?:set)?="([^":]+)"', text):
            # where a page of the gallery comes from
            source = re.sub(r"auto_(\w+)/(\w+)$", r"\1/\2.py", target)
            assert (page.parent / source).exists(), f"{page.name}: {target}"


def test_lowest_versions_are_those_declared():
    """What `make test-lowest` installs is what pyproject.toml promises to work."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project, tests = settings["project"], settings["dependency-groups"]["tests"]
    promised = [*project["dependencies"]]
    for extra in ["arrow", "awkward", "datasets", "deepsea", "display"]:
        promised += project["optional-dependencies"][extra]
    promised += [line for line in tests if isinstance(line, str)]
    lowest = {line.replace(">=", "==") for line in promised if ">=" in line}
    pinned = (ROOT / "tests" / "lowest-versions.txt").read_text().splitlines()[1:]
    assert set(pinned) == lowest
