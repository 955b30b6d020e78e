"""Datagram echo servers. Each has one socket, and receives and sends one datagram at a time."""
