"""The pictures of the site: each module draws one, as SVG whose colours are those of the page."""
