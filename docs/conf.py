"""Sphinx's configuration: MyST pages, furo, and the docstrings of the package.

Formulas are written as MathML, by docutils' own converter: the pages need no script
from another host, and read the same without a network.
"""

from __future__ import annotations

from importlib.metadata import version as version_of
from typing import TYPE_CHECKING

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.writers.html5 import HTML5Translator

project = "tapegrad"
author = "The tapegrad maintainers"
copyright = "2026, the tapegrad maintainers"  # noqa: A001 - the name Sphinx reads
release = version = version_of("tapegrad")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
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
html_math_renderer = "mathml"


def write_inline(writer: HTML5Translator, node: nodes.math) -> None:
    """A formula in a line of text."""
    writer.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def write_block(writer: HTML5Translator, node: nodes.math_block) -> None:
    """A formula on a line of its own."""
    formula = tex2mathml(node.astext(), as_block=True)
    # room for marks that reach out of the line: the theme would show scroll bars
    writer.body.append(f'<div style="padding: 0.5rem 0">{formula}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Tell Sphinx of the renderer."""
    app.add_html_math_renderer("mathml", (write_inline, None), (write_block, None))
