"""Sphinx configuration for `make docs`."""

import sys
from pathlib import Path

from socket2 import __version__

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parent)]  # making, pictures; tests.rooms

project = "socket2"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "making.drawn"]
html_theme = "furo"
html_title = "socket2"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
smartquotes = False  # they would break code

myst_heading_anchors = 3
myst_enable_extensions = ["deflist"]
highlight_language = "none"
default_role = "code"  # so that `...` in docstrings is code
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
