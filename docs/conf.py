"""Sphinx configuration: Markdown pages, executed examples, and the API from docstrings.

Nothing is loaded from elsewhere, neither when pages are built nor when they are read:
formulas are set by a copy of MathJax, and no page refers to another site's inventory.
"""

import importlib.metadata
import os

# Examples run one after the other: results and pictures are those of one process.
os.environ.setdefault("OMP_NUM_THREADS", "1")

project = "otk_sklearn"
author = "The otk_sklearn developers"
copyright = f"2026, {author}"
release = version = importlib.metadata.version("otk-sklearn")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
    "sphinx-mathjax-offline",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "auto_tutorial/index.rst", "**/GALLERY_HEADER.rst"]
templates_path = ["_templates"]
default_role = "code"

# Pages
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# Docstrings: one page for each public class, with its methods.
autosummary_generate = True
autodoc_member_order = "bysource"
# Types are in the lists of parameters, with shapes; signatures are easier to read without.
autodoc_typehints = "none"
toc_object_entries_show_parents = "hide"
# Modules of PyTorch inherit dozens of methods, which PyTorch describes.
numpydoc_show_inherited_class_members = {
    f"otk_sklearn.torch.{name}": False
    for name in ["KernelFeatures", "OTKPooling", "SetSequential"]
}
numpydoc_class_members_toctree = False

# Examples: each runs with matplotlib's and NumPy's state as it was, and shows up on the
# pages of the classes that it uses.
sphinx_gallery_conf = {
    "examples_dirs": ["examples", "tutorial"],
    "gallery_dirs": ["auto_examples", "auto_tutorial"],
    "filename_pattern": r"\.py$",
    "within_subsection_order": "FileNameSortKey",
    "doc_module": ("otk_sklearn",),
    "backreferences_dir": "generated/backreferences",
    "min_reported_time": 1,
    "write_computation_times": False,
    "download_all_examples": False,
    "remove_config_comments": True,
    "image_srcset": ["2x"],
}

# Looks
maximum_signature_line_length = 80
html_theme = "pydata_sphinx_theme"
html_title = f"otk_sklearn {version}"
html_static_path = ["_static"]
html_css_files = ["custom.css"]
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "otk_sklearn"},
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
    "navbar_align": "left",
    "navigation_with_keys": False,
    "pygments_light_style": "tango",
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
}
# Pages with none below them have no use for a list of these.
html_sidebars = {
    page: []
    for page in [
        "auto_tutorial/plot_tutorial",
        "changelog",
        "comparison",
        "contributing",
        "glossary",
        "index",
        "install",
        "policies",
    ]
}
