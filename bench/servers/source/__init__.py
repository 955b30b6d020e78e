"""Servers that send: eight bytes ask for a number of blocks of 256 KiB, big-endian; then the server closes."""

BLOCK = bytes(262144)
