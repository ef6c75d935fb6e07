"""Sphinx's configuration: MyST pages, furo, and the docstrings of the package."""

from __future__ import annotations

from importlib.metadata import version as version_of

project = "tapegrad"
author = "The tapegrad maintainers"
copyright = "2026, the tapegrad maintainers"  # noqa: A001 - the name Sphinx reads
release = version = version_of("tapegrad")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
    "sphinx.ext.napoleon",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"tapegrad {version}"
