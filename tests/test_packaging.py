"""What is published: the README on an index of packages, versions, metadata."""

import json
import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

import otk_sklearn

ROOT = Path(__file__).parents[1]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text())
SITE = SETTINGS["project"]["urls"]["Documentation"]


def published_readme():
    """The README after the substitutions of pyproject.toml."""
    text = (ROOT / "README.md").read_text()
    for rule in SETTINGS["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"][
        "substitutions"
    ]:
        text = re.sub(rule["pattern"], rule["replacement"], text)
    return text


def source_of(page):
    """The file that a page of the documentation is made of."""
    page = page.split("#")[0]
    if page.startswith("_images/"):
        return ROOT / "docs" / page.replace("_images", "images")
    gallery = re.fullmatch(r"auto_(\w+)/(\w+)\.html", page)
    if gallery and gallery[2] == "index":
        return ROOT / "docs" / gallery[1] / "GALLERY_HEADER.rst"
    if gallery:
        return ROOT / "docs" / gallery[1] / f"{gallery[2]}.py"
    return ROOT / "docs" / page.replace(".html", ".md")


def test_links_of_the_readme_lead_somewhere_on_an_index_of_packages():
    """There, no file of the repository is beside it."""
    text = re.sub("^```.*?^```", "", published_readme(), flags=re.DOTALL | re.MULTILINE)
    targets = re.findall(r"\]\(([^)]+)\)|(?:src|srcset)=\"([^\"]+)\"", text)
    targets = [markdown or html for markdown, html in targets]
    assert len(targets) > 5
    for target in targets:
        assert target.startswith(("https://", "#")), target
        if target.startswith(SITE):
            page = target.removeprefix(f"{SITE}en/stable/")
            assert source_of(page).exists(), target


def test_pictures_of_the_readme_are_on_a_page_of_the_documentation():
    """Only then does the documentation have a copy of them at the address above."""
    pages = "".join(path.read_text() for path in (ROOT / "docs").rglob("*.md"))
    for picture in re.findall(r"_images/([\w.-]+)", published_readme()):
        assert f"images/{picture}" in pages, picture


def test_extras_are_for_users_and_groups_for_developers():
    """No extra installs what only tests, documentation or benchmarks need."""
    extras = SETTINGS["project"]["optional-dependencies"]
    groups = SETTINGS["dependency-groups"]
    assert not {"tests", "docs", "benchmarks", "coverage"} & extras.keys()
    installed = {Requirement(line).name for lines in extras.values() for line in lines}
    assert not installed & {"hypothesis", "numpydoc", "pytest", "ruff", "sphinx"}
    for lines in groups.values():
        for line in lines:
            if isinstance(line, str) and line.startswith("otk-sklearn["):
                assert Requirement(line).extras <= extras.keys(), line


def test_the_makefile_installs_groups_that_exist():
    makefile = (ROOT / "Makefile").read_text()
    named = set(re.findall(r"\$\(VENV\)/(\w+)\.installed", makefile))
    named |= set(re.findall(r"--group (\w+)", makefile))
    assert len(named) > 10
    assert named <= SETTINGS["dependency-groups"].keys()


def test_all_files_tell_the_same_version():
    version = otk_sklearn.__version__
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.*)$", citation, re.MULTILINE)[1] == version
    recipe = (ROOT / "conda" / "recipe.yaml").read_text()
    assert re.search(r'^  version: "(.*)"$', recipe, re.MULTILINE)[1] == version
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert re.search(r"^## (\S+)", changelog, re.MULTILINE)[1] == version


def test_the_recipe_of_conda_needs_what_the_package_needs():
    recipe = (ROOT / "conda" / "recipe.yaml").read_text()
    run = re.search(r"\n  run:\n(.*?)\n\n", recipe, re.DOTALL)[1]
    needed = {line.strip(" -").replace(" ", "") for line in run.splitlines()}
    # On conda-forge, as on the index, POT's name is "pot".
    expected = {*SETTINGS["project"]["dependencies"]}
    assert needed == {*expected, "python>=${{python_min}}"}
    minimum = SETTINGS["project"]["requires-python"].removeprefix(">=")
    assert f'python_min: "{minimum}"' in recipe


def test_metadata_of_zenodo_is_that_of_the_package():
    zenodo = json.loads((ROOT / ".zenodo.json").read_text())
    project = SETTINGS["project"]
    assert zenodo["license"] == project["license"]
    assert zenodo["upload_type"] == "software"
    assert [creator["name"] for creator in zenodo["creators"]] == [
        author["name"] for author in project["authors"]
    ]
    assert project["description"] in zenodo["description"]
