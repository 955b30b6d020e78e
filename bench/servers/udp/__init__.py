"""Datagram echo servers: one socket, and one datagram received and sent at a time."""
