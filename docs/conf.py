"""Sphinx configuration: Markdown pages, and the API from docstrings."""

from importlib.metadata import version

project = "otk_sklearn"
author = "The otk_sklearn developers"
copyright = f"2026, {author}"
release = version("otk-sklearn")

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
myst_enable_extensions = ["dollarmath"]
exclude_patterns = ["_build"]
numpydoc_show_class_members = False
autodoc_member_order = "bysource"
default_role = "code"
html_theme = "alabaster"
html_theme_options = {"description": "Sets of vectors in scikit-learn"}
suppress_warnings = ["ref.term", "ref.class"]
