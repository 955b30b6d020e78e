"""The environ of a WSGI application: a request as PEP 3333 and CGI (RFC 3875) describe it.

Text is str whose characters are the bytes that came: the field's and the path's bytes as Latin-1.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from io import BufferedRandom, BufferedReader, FileIO
from stat import S_ISREG
from tempfile import _TemporaryFileWrapper
from typing import IO, Any

from ...version import __version__
from ..messages.status import has_no_body
from ..serving.request import Request
from .mount import below, decoded, name_and_port

_OWN_KEYS = {b"content-length": "CONTENT_LENGTH", b"content-type": "CONTENT_TYPE"}

_BUFFERED = (BufferedReader, BufferedRandom)

_SOFTWARE = f"socket2/{__version__}"


class FileWrapper:
    """wsgi.file_wrapper: an iterator over the blocks of a file. A server may look into it, and send the file."""

    def __init__(self, file: IO[bytes], block_size: int = 8192) -> None:
        self.file = file
        self.block_size = block_size
        if hasattr(file, "close"):
            self.close = file.close

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        data = self.file.read(self.block_size)
        if not data:
            raise StopIteration
        return data

    def left(self) -> tuple[IO[bytes], int, int] | None:
        """Return the file as the kernel can send it, the position from which to send, and how many bytes are left.

        None if it is no regular file on a disk, but one that only has the descriptor of such a file, as compressed ones
        do. Raises OSError.
        """
        file: Any = self.file
        if isinstance(file, _TemporaryFileWrapper):
            file = file.file
        raw = file.raw if type(file) in _BUFFERED else file
        if type(raw) is not FileIO or not file.readable():
            return None
        found = os.fstat(raw.fileno())
        if not S_ISREG(found.st_mode):
            return None
        position = file.tell()
        return file, position, max(found.st_size - position, 0)


def file_of(result: object, status: int) -> tuple[IO[bytes], int, int] | None:
    """Return what FileWrapper.left() says, None if an application has returned something else."""
    return result.left() if type(result) is FileWrapper and not has_no_body(status) else None


def environ_of(request: Request, root: str, *, multithread: bool) -> dict[str, Any]:
    """Return the environ of a request, without wsgi.input. `root`: the path that the application is mounted at."""
    head, scheme, client = request.head, request.scheme, request.client
    target = head.target
    name, port = name_and_port(request.server, request.host, scheme)
    path = decoded(target.path) if target.path != b"*" else b""
    environ: dict[str, Any] = {
        "REQUEST_METHOD": head.method,
        "SCRIPT_NAME": root.encode().decode("latin-1"),
        "PATH_INFO": below(root.encode(), path).decode("latin-1"),
        "QUERY_STRING": target.query.decode("latin-1"),
        "REQUEST_URI": head.raw_target.decode("ascii"),
        "SERVER_NAME": name,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": f"HTTP/1.{head.minor}",
        "SERVER_SOFTWARE": _SOFTWARE,
        "REMOTE_ADDR": "",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scheme,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": True,  # nobody can know: processes may share a listener or a port
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,  # it ends with the body, also if that is chunked
        "wsgi.file_wrapper": FileWrapper,
    }
    if isinstance(client, tuple):
        environ["REMOTE_ADDR"], environ["REMOTE_PORT"] = str(client[0]), str(client[1])
    for field, value in head.fields.raw:
        _add(environ, field, value)
    if (host := request.named_host) is not None:
        environ["HTTP_HOST"] = host.decode("latin-1")
    return environ


def _add(environ: dict[str, Any], name: bytes, value: bytes) -> None:
    """Add a field, unless it could be taken for something else.

    A name with "_": a proxy may have checked another field that becomes the same key. Proxy: programs take HTTP_PROXY
    for a setting of their HTTP clients (httpoxy).
    """
    text = value.decode("latin-1")
    if (own := _OWN_KEYS.get(name)) is not None:
        environ.setdefault(own, text)
    if own is not None or b"_" in name or name == b"proxy":
        return
    key = "HTTP_" + name.decode("ascii").upper().replace("-", "_")
    before = environ.get(key)
    if before is not None:
        text = f"{before}{'; ' if name == b'cookie' else ', '}{text}"
    environ[key] = text
