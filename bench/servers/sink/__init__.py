"""Servers that only receive, 256 KiB at a time and into one buffer if the stack can, and close after the client."""
