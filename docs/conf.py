"""Sphinx: Markdown pages, an API reference from docstrings, and pages made from the code."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "milepost"
author = "The milepost maintainers"
copyright = "The milepost maintainers"  # noqa: A001 — the name that Sphinx reads
release = version = installed_version("milepost")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "from_code",
    "from_bench",
    "from_serving",
]
exclude_patterns = ["_build"]
templates_path: list[str] = []

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

# Everything that a page refers to must exist; nothing is looked up on the network.
smartquotes_action = "D"  # dashes only
suppress_warnings: list[str] = []
linkcheck_ignore = [r".*"]

html_theme = "furo"
html_title = f"milepost {release}"
html_static_path = ["_static"]
html_css_files = ["milepost.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#1d5c8a",
        "color-brand-content": "#1d5c8a",
        "font-stack": "system-ui, -apple-system, 'Segoe UI', 'Noto Sans', sans-serif",
        "font-stack--monospace": "'DejaVu Sans Mono', ui-monospace, Menlo, Consolas, monospace",
    },
    "dark_css_variables": {
        "color-brand-primary": "#7fb8e0",
        "color-brand-content": "#7fb8e0",
    },
}
pygments_style = "friendly"
pygments_dark_style = "github-dark"
