"""HAProxy in front of servers of ours. It listens on a socket that we have made, so no port can be taken."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .peers import Program, needs


@contextmanager
def haproxy(folder: Path, backend: str, *, front: str = "", mode: str = "tcp") -> Iterator[Any]:
    """Run HAProxy. `backend`: the lines of its backend; `front`: more lines for its front end. Return its address."""
    folder.mkdir(exist_ok=True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = folder / "haproxy.cfg"
        config.write_text(
            f"global\n stats socket {folder}/admin mode 600 level admin\n log stdout format raw local0\n"
            f"defaults\n mode {mode}\n timeout connect 10s\n timeout client 30s\n timeout server 30s\n log global\n"
            f"frontend f\n bind fd@{listener.fileno()}\n{front}\n default_backend b\n"
            f"backend b\n{backend}\n"
        )
        command = [needs("haproxy"), "-f", str(config), "-db"]
        with Program(command, announces="stderr", pass_fds=(listener.fileno(),)):
            yield listener.getsockname()
