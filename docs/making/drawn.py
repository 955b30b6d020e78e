"""The directive `drawn`, which puts a picture of `docs/pictures` into the page."""

from __future__ import annotations

import importlib
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class Drawn(SphinxDirective):
    """`{drawn} name` calls draw() of `pictures/name.py`. The content is the caption."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        drawing: Any = importlib.import_module(f"pictures.{self.arguments[0]}")
        figure = nodes.figure(classes=["drawn"])
        figure += nodes.raw("", drawing.draw(), format="html")
        if self.content:
            caption = nodes.caption()
            children, messages = self.state.inline_text("\n".join(self.content), self.lineno)
            caption.extend(children)
            figure += [caption, *messages]
        return [figure]


def setup(app: Sphinx) -> dict[str, object]:
    app.add_directive("drawn", Drawn)
    return {"parallel_read_safe": True}
