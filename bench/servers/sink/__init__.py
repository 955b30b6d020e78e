"""Servers that only read, 256 KiB at a time and into one buffer where their stack can, and close after the client."""
