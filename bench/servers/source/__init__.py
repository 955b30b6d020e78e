"""Servers that send. A client sends a number (eight bytes, big-endian) and gets that many blocks of 256 KiB."""

BLOCK = bytes(262144)
