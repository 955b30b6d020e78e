"""Bytes that nobody can predict: masks and keys of WebSocket. It is the one place in the package that asks for chance.

RFC 6455, section 5.3: a mask that a script in a browser could predict would let the script write a request of its own
choice into the connection. Nothing that a program can observe depends on these bytes, so a run can still be repeated.
"""

from __future__ import annotations

from os import urandom as unpredictable

__all__ = ["unpredictable"]
