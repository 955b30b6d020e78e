"""The secrets of one connection, for the event 'keylog'. Whoever has them can read the connection.

The ssl module writes them to a file that a context names. So such a connection has a context of its own, and a file
that is read and removed after the handshake: on Linux it is in memory and on no disk.
"""

from __future__ import annotations

import os
import ssl
import tempfile
from typing import IO


class KeyLog:
    """The file that a context writes secrets to."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        if hasattr(os, "memfd_create") and os.path.isdir("/proc/self/fd"):
            self._file: IO[bytes] = os.fdopen(os.memfd_create("keylog"), "r+b")
            context.keylog_filename = f"/proc/self/fd/{self._file.fileno()}"
        else:
            self._file = file = tempfile.NamedTemporaryFile()  # noqa: SIM115  # closed by lines(), and only for this user
            context.keylog_filename = file.name

    def lines(self) -> list[bytes]:
        """Return what was written, as lines for Wireshark, and remove the file."""
        self._context.keylog_filename = None  # type: ignore[assignment]  # the context closes it
        with self._file as file:
            written = file.read()
        lines = written.splitlines(keepends=True)
        return [line for line in lines if not line.startswith(b"#")]  # the first one is a comment
