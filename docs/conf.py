"""Sphinx configuration for `make docs`."""

from socket2 import __version__

project = "socket2"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "furo"
smartquotes = False  # they would break code

myst_heading_anchors = 3
highlight_language = "none"
default_role = "code"  # so that `...` in docstrings is code
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
