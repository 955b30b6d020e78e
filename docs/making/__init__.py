"""What the site has that Sphinx does not: drawn pictures, code of two libraries side by side, and checks."""
