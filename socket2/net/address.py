"""Addresses in Node's form: a host, a port and a family, or a path."""

from __future__ import annotations

import os
from typing import Any

from .ip import family_name


def host_of(name: Any) -> str | None:
    """Return the IP address, or the path, of an address in the standard library's form."""
    if isinstance(name, tuple):
        return str(name[0])
    return os.fsdecode(name) or None if name is not None else None


def port_of(name: Any) -> int | None:
    return int(name[1]) if isinstance(name, tuple) else None


def family_of(name: Any) -> str | None:
    return family_name(name[0]) if isinstance(name, tuple) else None


def text_of(host: str | None, port: int | None) -> str:
    if port is None:
        return host or "?"
    return f"[{host}]:{port}" if host and ":" in host else f"{host}:{port}"


def address_of(name: Any) -> dict[str, Any] | str:
    """Return {"address", "family", "port"}, a path as it is, or {} for None."""
    if isinstance(name, tuple):
        return {"address": host_of(name), "family": family_of(name), "port": port_of(name)}
    return os.fsdecode(name) if name is not None else {}
