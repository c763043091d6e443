"""Sphinx configuration: Markdown pages, and the API from docstrings."""

import importlib.metadata

project = "otk_sklearn"
author = "The otk_sklearn developers"
copyright = f"2026, {author}"
release = version = importlib.metadata.version("otk-sklearn")

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc"]
myst_enable_extensions = ["dollarmath"]
exclude_patterns = ["_build"]
numpydoc_show_class_members = False
autodoc_member_order = "bysource"
default_role = "code"
html_theme = "alabaster"
html_theme_options = {
    "description": "Sets of vectors in scikit-learn",
    "page_width": "1200px",
}
# Labels of scikit-learn's own documentation, in docstrings that are inherited from it.
suppress_warnings = ["ref.term", "ref.class", "ref.ref"]
