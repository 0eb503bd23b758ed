"""The documentation site: `make docs` builds it, and a warning is a failure."""

import importlib.metadata

project = "elad"
author = "The elad authors"
project_copyright = "the elad authors"
release = importlib.metadata.version("elad")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "none"
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "elad"
html_static_path: list[str] = []
