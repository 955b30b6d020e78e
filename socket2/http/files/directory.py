"""A handler that answers with the files of a directory."""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Callable
from typing import IO, TYPE_CHECKING
from urllib.parse import quote

from pollers import Operation

from ..messages.codings import acceptable
from ..messages.fields import Given, pairs_of
from ..messages.heads import RequestHead
from ..messages.media import media_type
from ..serving.representation import Answer, Pairs, text_answer, version_answer
from ..serving.request import Request
from .beneath import Beneath, Outside, beneath
from .listing import FIELDS, NAMES_MAX, page
from .names import Names, is_hidden, names_of

if TYPE_CHECKING:
    from _typeshed import StrPath

_ENDINGS = {"br": ".br", "gzip": ".gz"}

# What the errors of a walk say about the path, and not about the system.
_NAMES = ("ENOENT", "ENOTDIR", "EISDIR", "ELOOP", "EMLINK", "ENAMETOOLONG", "EINVAL", "ENXIO", "ENODEV", "EOPNOTSUPP")
_NOT_FOUND = {getattr(errno, name) for name in _NAMES}


class Directory:
    """The directory, and what of it clients may see."""

    def __init__(
        self,
        root: str,
        prefix: list[str],
        index: str | None,
        listing: bool,
        dotfiles: bool,
        follow: bool,
        precompressed: bool,
        fields: Pairs,
    ) -> None:
        self._root = root
        self._prefix = prefix
        self._index = index
        self._listing = listing
        self._dotfiles = dotfiles
        self._follow = follow
        self._precompressed = precompressed
        self._fields = fields

    def answer(self, head: RequestHead) -> Answer:
        """Return the answer to a request. Call this in an OS thread."""
        if head.method not in ("GET", "HEAD"):
            return text_answer(405, (b"allow", b"GET, HEAD"))
        names = names_of(head.target.path)
        if names is None or names.parts[: len(self._prefix)] != self._prefix:
            return text_answer(404)
        parts = names.parts[len(self._prefix) :]
        if not self._dotfiles and any(map(is_hidden, parts)):
            return text_answer(404)
        try:
            with beneath(self._root, self._follow) as walk:
                return self._found(walk, parts, names, head)
        except PermissionError:
            return text_answer(403)
        except OSError as error:
            if error.errno in _NOT_FOUND or isinstance(error, (Outside, io.UnsupportedOperation)):
                return text_answer(404)
            raise

    def _found(self, walk: Beneath, parts: list[str], names: Names, head: RequestHead) -> Answer:
        file = walk.go(parts)
        if file is None:
            if not names.slash:  # or links in the page would lead elsewhere
                return _redirect(names.parts[-1], head)
            file = self._open_index(walk)
            if file is None:
                return self._list(walk, parts) if self._listing else text_answer(404)
            parts = [*parts, self._index or ""]
        elif names.slash:
            file.close()
            return text_answer(404)
        return self._answer_with(file, parts, head)

    def _open_index(self, walk: Beneath) -> IO[bytes] | None:
        try:
            return None if self._index is None else walk.go([self._index])
        except FileNotFoundError:
            return None

    def _list(self, walk: Beneath, parts: list[str]) -> Answer:
        entries = [each for each in walk.entries(NAMES_MAX) if self._dotfiles or not is_hidden(each[0])]
        answer = Answer(200, list(FIELDS))
        answer.pieces = [page("/".join(["", *self._prefix, *parts, ""]), entries, bool(parts))]
        return answer

    def _answer_with(self, file: IO[bytes], parts: list[str], head: RequestHead) -> Answer:
        kind = media_type(parts[-1])
        fields = list(self._fields)
        if self._precompressed:
            fields.append((b"vary", b"accept-encoding"))
            try:
                for coding in acceptable(head.fields, tuple(_ENDINGS)):
                    other = self._sibling(file, [*parts[:-1], parts[-1] + _ENDINGS[coding]])
                    if other is not None:
                        file.close()
                        file = other
                        fields.append((b"content-encoding", coding.encode("ascii")))
                        break
            except BaseException:
                file.close()
                raise
        return version_answer(Answer(200, fields, file, True), head, kind)

    def _sibling(self, file: IO[bytes], parts: list[str]) -> IO[bytes] | None:
        """Return the compressed file beside a file, None if there is none, or it is of an earlier version."""
        try:
            with beneath(self._root, self._follow) as walk:
                other = walk.go(parts)
        except OSError:
            return None
        if other is not None and os.fstat(other.fileno()).st_mtime_ns < os.fstat(file.fileno()).st_mtime_ns:
            other.close()
            return None
        return other


def _redirect(name: str, head: RequestHead) -> Answer:
    """Return the answer that adds a slash. It is relative, so it is right behind any proxy, and leads to no host."""
    query = head.target.query
    location = f"./{quote(os.fsencode(name), safe='')}/".encode("ascii") + (b"?" + query if query else b"")
    return text_answer(301, (b"location", location))


def directory(
    path: StrPath,
    *,
    prefix: str = "/",
    index: str | None = "index.html",
    listing: bool = False,
    dotfiles: bool = False,
    follow_symlinks: bool = False,
    precompressed: bool = False,
    cache_control: str | None = None,
    headers: Given = (),
) -> Callable[[Request], Operation[None]]:
    """Make a handler that answers with the files below a directory: `http.serve(http.directory("public"))`.

    It answers GET and HEAD as respond_file() does. The path of a directory gets its `index`; otherwise, with `listing`,
    a page with its names. Without the slash at the end it is redirected. What is not there gets 404, and what the
    process must not read 403.

    `prefix`: the path of the directory in URLs, such as "/static"; what is elsewhere gets 404. `dotfiles`: whether
    names that begin with a dot are served, other than ".well-known". `follow_symlinks`: whether symbolic links may lead
    out of the directory; those within it are followed in any case. `precompressed`: whether to send "app.js.br" or
    "app.js.gz" instead of "app.js" to clients that accept it, if there is one that is not older. `cache_control`: the
    value of Cache-Control for files; `headers`: more fields for them.

    Raises NotADirectoryError if there is no such directory, ValueError if `prefix` or a field cannot be one.
    """
    root = os.path.abspath(path)
    if not os.path.isdir(root):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), os.fspath(path))
    names = names_of(quote(prefix).encode("ascii"))
    if names is None:
        raise ValueError(f"a prefix must be the path of a URL, such as '/static', not {prefix!r}")
    fields = pairs_of(headers)
    if cache_control is not None:
        fields = [*fields, *pairs_of([("cache-control", cache_control)])]
    found = Directory(root, names.parts, index, listing, dotfiles, follow_symlinks, precompressed, fields)

    def serve(request: Request) -> Operation[None]:
        return request.respond_with(found.answer)

    serve.__qualname__ = f"directory {root}"
    return serve
