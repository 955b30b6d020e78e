"""The version, in a module that setuptools reads without importing anything."""

__version__ = "0.1.0"
