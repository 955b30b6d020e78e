"""Features that a machine may lack. Each is tested once."""

from __future__ import annotations

import socket
from functools import cache

import pytest


@cache
def has_ipv6() -> bool:
    """Return whether there is IPv6, and ::1: a kernel may lack the first, and a network namespace the second."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


@cache
def has_localhost() -> bool:
    """Return whether the C library knows localhost, for example from /etc/hosts."""
    try:
        return socket.gethostbyname("localhost") == "127.0.0.1"
    except OSError:
        return False


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
