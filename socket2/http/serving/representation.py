"""An answer with a file: which version it is, which parts of it the client wants, and how they are sent.

Everything that is to be done before the answer is done by one call in an OS thread: opening, the facts, and reading
what is small. What a client sees of the file is one version, unless its writer writes into the file itself.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Callable, Generator
from hashlib import blake2b
from time import time as wall_clock
from typing import IO, TYPE_CHECKING, Any, TypeAlias

from pollers import operation

from ...threads.unbroken import call_unbroken
from ..messages.dates import parse_date
from ..messages.fields import Fields, pairs_of
from ..messages.heads import RequestHead
from ..messages.media import media_type
from ..messages.preconditions import Validators, is_same_version, refusal_of
from ..messages.ranges import Multipart, NotSatisfiable, Part, parts_of
from ..messages.status import reason_of
from .exchange import Exchange
from .reading import PIECE

if TYPE_CHECKING:
    from typing import Self

    from _typeshed import StrOrBytesPath

Pairs: TypeAlias = list[tuple[bytes, bytes]]

_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"))

# Fields that are about the content, which an answer without it does not have.
_OF_CONTENT = frozenset(b"content-" + name for name in (b"type", b"encoding", b"language", b"disposition"))


def open_regular(path: StrOrBytesPath, more: int = 0, dir_fd: int | None = None) -> IO[bytes]:
    """Open a regular file, and nothing else, because that could wait. Raises OSError.

    `more`: flags of open(2). `dir_fd`: the directory that the path begins in.
    """
    fd = os.open(path, _FLAGS | more, dir_fd=dir_fd)
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(mode):
            raise io.UnsupportedOperation(f"{path!r} is no regular file")
        return open(fd, "rb", 0)
    except BaseException:
        os.close(fd)
        raise


def tag_of(facts: os.stat_result) -> str:
    """Return an entity tag, which changes whenever the file is written or replaced. It does not show the inode."""
    known = f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ino} {facts.st_dev}"
    return f'"{blake2b(known.encode("ascii"), digest_size=9).hexdigest()}"'


class Answer:
    """An answer, ready to be sent, perhaps with a file.

    `pieces`: its body: bytes, and parts of `file`. `length`: of the body; None if the status allows none.
    """

    __slots__ = ("fields", "file", "length", "owned", "pieces", "status")

    def __init__(self, status: int, fields: Pairs, file: IO[bytes] | None = None, owned: bool = False) -> None:
        """`owned`: whether the file is closed behind the answer."""
        self.status = status
        self.fields = fields
        self.file = file
        self.owned = owned
        self.length: int | None = None
        self.pieces: list[bytes | Part] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.owned and self.file is not None:
            self.file.close()

    def text(self, status: int, *fields: tuple[bytes, bytes]) -> Self:
        """Answer without the file. The fields that are given for it are not: a cache could keep such an answer."""
        self.status = status
        self.fields = [*fields, (b"content-type", b"text/plain; charset=utf-8")]
        self.pieces = [f"{reason_of(status)}\n".encode("ascii")]
        self.length = len(self.pieces[0])
        return self

    def parts(self, parts: list[Part], complete: int, kind: str) -> Self:
        """Answer with parts of the file, or with all of it if that is shorter."""
        if len(parts) > 1:
            boundary = blake2b(repr((self.fields, parts)).encode(), digest_size=16).hexdigest()
            multipart = Multipart(parts, complete, kind, boundary)
            if multipart.length < complete:
                self.status = 206
                self.fields.append((b"content-type", multipart.kind.encode("latin-1")))
                pairs = zip(multipart.heads, parts, strict=True)
                self.pieces = [piece for pair in pairs for piece in pair] + [multipart.end]
                self.length = multipart.length
                return self
            parts = []
        self.fields.append((b"content-type", kind.encode("latin-1")))
        if parts:
            self.status = 206
            self.fields.append((b"content-range", parts[0].said(complete).encode("ascii")))
        self.pieces = [parts[0] if parts else Part(0, complete)]
        self.length = parts[0].size if parts else complete
        return self

    def read_what_is_small(self) -> Self:
        """Read the parts now, if the body is small: so no other call is needed for them."""
        if self.length is not None and self.length <= PIECE:
            self.pieces = [b"".join(map(self._content, self.pieces))]
        return self

    def _content(self, piece: bytes | Part) -> bytes:
        if isinstance(piece, bytes):
            return piece
        assert self.file is not None
        self.file.seek(piece.first)
        data = self.file.read(piece.size)
        if len(data) < piece.size:
            raise EOFError(f"{self.file!r} has become shorter")
        return data


def text_answer(status: int, *fields: tuple[bytes, bytes]) -> Answer:
    """Return an answer that says only what its status means."""
    return Answer(status, []).text(status, *fields)


def file_answer(
    file: StrOrBytesPath | IO[bytes], head: RequestHead, status: int, kind: str | None, given: Pairs
) -> Answer:
    """Return an answer with a file: a path, which is opened, or an open one, which stays open. Raises OSError.

    Call this in an OS thread.
    """
    path = file if isinstance(file, (str, bytes, os.PathLike)) else getattr(file, "name", "")
    if kind is None:
        kind = media_type(os.fsdecode(path) if isinstance(path, (str, bytes, os.PathLike)) else "")
    if not isinstance(file, (str, bytes, os.PathLike)):
        return version_answer(Answer(status, given, file), head, kind)
    return version_answer(Answer(status, given, open_regular(file), True), head, kind)


def version_answer(answer: Answer, head: RequestHead, kind: str) -> Answer:
    """Decide what of its file an answer contains. Closes the file if that fails. Call this in an OS thread."""
    try:
        return _decide(answer, head, kind)
    except BaseException:
        with answer:
            raise


def _decide(answer: Answer, head: RequestHead, kind: str) -> Answer:
    assert answer.file is not None
    facts = os.fstat(answer.file.fileno())
    chosen = Fields(answer.fields)
    kind = chosen.get("content-type") or kind
    answer.fields = [pair for pair in answer.fields if pair[0] != b"content-type"]
    if answer.status != 200 or head.method not in ("GET", "HEAD"):
        return answer.parts([], facts.st_size, kind).read_what_is_small()
    modified = parse_date(chosen["last-modified"]) if "last-modified" in chosen else facts.st_mtime
    present = Validators.of(chosen.get("etag") or tag_of(facts), modified, wall_clock())
    offered = pairs_of([*present.fields(), ("accept-ranges", "bytes")])
    answer.fields += [pair for pair in offered if pair[0].decode("ascii") not in chosen]
    asked = head.fields
    refused = refusal_of(head.method, asked, present)
    if refused == 304:
        answer.status = 304
        answer.fields = [pair for pair in answer.fields if pair[0] not in _OF_CONTENT]
        return answer
    if refused:
        return answer.text(refused)
    parts: list[Part] = []
    if head.method == "GET" and is_same_version(asked, present):
        try:
            parts = parts_of(asked, facts.st_size)
        except NotSatisfiable:
            return answer.text(416, (b"content-range", b"bytes */%d" % facts.st_size))
    answer.parts(parts, facts.st_size, kind)
    return answer if head.method == "HEAD" else answer.read_what_is_small()


@operation
def respond_with(exchange: Exchange, decide: Callable[[RequestHead], Answer]) -> Generator[Any, None, None]:
    """Call `decide` in an OS thread, and send its answer. Raises EOFError if the file becomes shorter."""
    with (yield from call_unbroken(decide, exchange.head)) as answer:
        file = answer.file
        if len(answer.pieces) == 1 and isinstance(answer.pieces[0], bytes):
            yield from exchange.respond(answer.status, answer.pieces[0], answer.fields)
            return
        yield from exchange.start(answer.status, answer.fields, answer.length, False)
        for piece in answer.pieces:
            if isinstance(piece, bytes):
                yield from exchange.send(piece)
                continue  # see threads/lock.py
            if file is None:
                continue
            yield from exchange.sendfile(file, piece.first, piece.size)
        yield from exchange.end()
