"""The files of a directory: what a path means, and that it never means what is outside."""

from __future__ import annotations

import os
import subprocess
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import socket2
from socket2 import http
from socket2.http.files.beneath import ByDescriptor, ByPath, Outside
from socket2.http.files.names import is_hidden, names_of

from ...interop import curl
from ...interop.peers import LIMIT_S, needs
from ..scene import exchanges, serve

SPECIAL = "a & b" if os.name == "nt" else "a <&> b"  # which names of files may have

links = pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links need rights here")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_bytes(b"secret")
    (root := tmp_path / "root").mkdir()
    (root / "a b").write_bytes(b"blank")
    (root / "small.html").write_bytes(b"0123456789")
    (root / ".hidden").write_bytes(b"hidden")
    (root / ".well-known").mkdir()
    (root / ".well-known" / "token").write_bytes(b"token")
    (root / "pages" / "deep").mkdir(parents=True)
    (root / "pages" / "index.html").write_bytes(b"the index")
    (root / "pages" / "deep" / SPECIAL).write_bytes(b"special")
    (root / "pages" / "deep" / ".dot").write_bytes(b"")
    (root / "pages" / "deep" / "sub").mkdir()
    return root


def asked(
    root: Path, target: bytes, *fields: bytes, method: bytes = b"GET", **options: Any
) -> tuple[int, bytes, bytes]:
    """Return the status, head and body of the answer."""
    request = b"\r\n".join([method + b" " + target + b" HTTP/1.1", b"Host: a", *fields, b"", b""])
    head, _, body = exchanges(http.directory(root, **options), request).partition(b"\r\n\r\n")
    return int(head[9:12]), head + b"\r\n", body


@pytest.mark.parametrize(
    ("target", "body"),
    [
        (b"/a%20b", b"blank"),
        (b"/small.html?query=1", b"0123456789"),
        (b"//small.html", b"0123456789"),
        (b"http://b/small.html", b"0123456789"),
        (b"/pages/", b"the index"),
        (b"/pages/index.html", b"the index"),
        (b"/pages/deep/" + quote(SPECIAL).encode(), b"special"),
        (b"/.well-known/token", b"token"),
    ],
)
def test_what_is_there(target: bytes, body: bytes, root: Path) -> None:
    status, head, found = asked(root, target)
    assert (status, found) == (200, body)
    assert b"etag: " in head
    assert asked(root, target, method=b"HEAD")[::2] == (200, b"")


@pytest.mark.parametrize(
    "target",
    [
        *(b"/../secret", b"/%2e%2e/secret", b"/..%2fsecret", b"//../secret", b"/pages/../../secret", b"/..%5csecret"),
        *(
            b"/%252e%252e/secret",
            b"/pages/%2e%2e/small.html",
            b"/./small.html",
            b"/pages%2findex.html",
            b"/.%00./secret",
        ),
        *(b"/none", b"/small.html/", b"/small.html/x", b"/%00", b"/small.html%00", b"/%ff", b"/pages/deep/", b"/"),
        *(b"/.hidden", b"/%2ehidden", b"/pages/deep/.dot", b"/" + b"x" * 5000, b"/" + b"a/" * 2000),
    ],
)
def test_what_is_not_there(target: bytes, root: Path) -> None:
    status, head, body = asked(root, target)
    assert (status, body) == (404, b"Not Found\n")
    assert b"cache-control" not in head


def test_options(root: Path) -> None:
    assert asked(root, b"/.hidden", dotfiles=True)[2] == b"hidden"
    assert asked(root, b"/pages/", index=None)[0] == 404
    assert asked(root, b"/static/a%20b", prefix="/static")[2] == b"blank"
    assert asked(root, b"/a%20b", prefix="/static")[0] == 404
    _, head, _ = asked(root, b"/a%20b", cache_control="max-age=60", headers={"X-Y": "z"})
    assert b"cache-control: max-age=60\r\n" in head
    assert b"x-y: z\r\n" in head
    assert b"cache-control" not in asked(root, b"/none", cache_control="max-age=60")[1]


def test_what_cannot_be_a_directory(root: Path) -> None:
    with pytest.raises(NotADirectoryError):
        http.directory(root / "small.html")
    with pytest.raises(ValueError, match="prefix"):
        http.directory(root, prefix="static")


@pytest.mark.parametrize("method", [b"POST", b"DELETE", b"OPTIONS"])
def test_other_methods(method: bytes, root: Path) -> None:
    status, head, _ = asked(root, b"/small.html", method=method)
    assert status == 405
    assert b"allow: GET, HEAD\r\n" in head


@pytest.mark.parametrize(
    ("target", "location"),
    [
        (b"/pages", b"./pages/"),
        (b"/pages?a=b", b"./pages/?a=b"),
        (b"//pages/deep", b"./deep/"),
        (b"/static", b"./static/"),
    ],
)
def test_a_directory_without_its_slash(target: bytes, location: bytes, root: Path) -> None:
    status, head, _ = asked(root, target, prefix="/static" if b"static" in target else "/")
    assert status == 301
    assert b"location: " + location + b"\r\n" in head


def test_a_listing(root: Path) -> None:
    (root / "pages" / "deep" / "\u202ex").write_bytes(b"")
    status, head, body = asked(root, b"/pages/deep/", listing=True, cache_control="max-age=60")
    assert status == 200
    assert f'<a href="./{quote(SPECIAL)}">{escape(SPECIAL)}</a>'.encode() in body
    assert b'<a href="./sub/">sub/</a>' in body
    assert b'<a href="../">' in body
    assert b".dot" not in body
    assert b"<script" not in body
    assert b"content-security-policy: default-src 'none'\r\n" in head
    assert b"max-age" not in head
    assert b'"../"' not in asked(root, b"/", listing=True)[2]


@links
def test_links(root: Path) -> None:
    (root / "out").symlink_to(root.parent / "secret")
    (root / "outer").symlink_to("..")
    (root / "up").symlink_to("../secret")
    (root / "loop").symlink_to("loop")
    (root / "in").symlink_to("pages/deep/../index.html")
    (root / "absolute").symlink_to(root.resolve() / "pages")
    (root / "cunning").symlink_to(root.resolve() / "pages" / ".." / ".." / "secret")
    (root / "pages" / "back").symlink_to("../small.html")
    for name in (b"out", b"outer/secret", b"up", b"loop", b"cunning"):
        assert asked(root, b"/" + name)[0] == 404
    for name in (b"in", b"absolute/"):
        assert asked(root, b"/" + name)[2] == b"the index"
    assert asked(root, b"/pages/back")[2] == b"0123456789"
    for name in (b"out", b"outer/secret", b"up", b"cunning"):
        assert asked(root, b"/" + name, follow_symlinks=True)[2] == b"secret"
    page = asked(root, b"/", listing=True)[2]
    assert b">in</a>" in page
    for name in (b"out<", b"outer/<", b"up<", b"loop", b"cunning"):
        assert b">" + name not in page
    (root / "pages" / "index.html").unlink()
    (root / "pages" / "index.html").symlink_to(root.parent / "secret")
    assert asked(root, b"/pages/")[0] == 404


@links
@pytest.mark.parametrize("kind", [ByDescriptor, ByPath])
def test_both_ways_to_walk(kind: Any, root: Path) -> None:
    (root / "out").symlink_to(root.parent / "secret")
    with kind(str(root), False) as walk:
        assert walk.go(["pages", "deep"]) is None
        assert ("sub", True) in walk.entries(100)
    for names in (["out"], ["pages", "..", "..", "secret"]):
        with kind(str(root), False) as walk, pytest.raises(Outside):
            walk.go(names)
    with kind(str(root), True) as walk:
        file = walk.go(["out"])
        assert file is not None
        with file:
            assert file.read() == b"secret"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO here")
def test_what_is_no_file_and_what_may_not_be_read(root: Path) -> None:
    os.mkfifo(root / "fifo")
    (root / "private").write_bytes(b"secret")
    (root / "private").chmod(0)
    assert asked(root, b"/fifo")[0] == 404
    if os.geteuid():
        assert asked(root, b"/private")[0] == 403


def test_errors_of_the_system_are_not_hidden(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError(24, "too many open files")

    monkeypatch.setattr("socket2.http.files.directory.beneath", fail)
    assert asked(root, b"/small.html")[0] == 500


def test_precompressed_siblings(root: Path) -> None:
    for name, data in (("app.js", b"plain"), ("app.js.gz", b"gz"), ("app.js.br", b"br")):
        (root / name).write_bytes(data)
        os.utime(root / name, (1_000_000_000, 1_000_000_000))
    for accepted, body in [(b"", b"plain"), (b"gzip", b"gz"), (b"gzip, br", b"br"), (b"br;q=0, gzip;q=0", b"plain")]:
        status, head, found = asked(root, b"/app.js", b"Accept-Encoding: " + accepted, precompressed=True)
        assert (status, found) == (200, body)
        assert b"vary: accept-encoding\r\n" in head
        assert b"content-type: text/javascript; charset=utf-8\r\n" in head
        assert (b"content-encoding: " in head) == (body != b"plain")
    assert asked(root, b"/app.js", b"Accept-Encoding: br")[2] == b"plain"
    os.utime(root / "app.js", (1_000_000_001, 1_000_000_001))
    assert asked(root, b"/app.js", b"Accept-Encoding: gzip, br", precompressed=True)[2] == b"plain"


@pytest.mark.parametrize(
    "path",
    [
        *(b"/a%5cb", b"/..%5csecret", b"/c:", b"/c:/a", b"/a::$DATA", b"/con", b"/NUL.txt", b"/com1", b"/lpt9.html"),
        *(
            b"/aux%20.txt",
            b"/com%c2%b9",
            b"/a.",
            b"/a%20",
            b"/HTACCE~1",
            b"/a%3fb",
            b"/a*",
            b"/%01",
            b"/%ff",
            b"/conin$",
        ),
    ],
)
def test_names_that_windows_understands_differently(path: bytes) -> None:
    assert names_of(path, windows=True) is None
    assert names_of(path, windows=False) is not None or (os.name == "nt" and path == b"/%ff")


def test_names() -> None:
    assert names_of(b"/a/b%20c/", windows=True) == (["a", "b c"], True)
    assert names_of(b"/console.log", windows=True) == (["console.log"], False)
    for path in (b"/..", b"/a/..", b"/%2e%2e/a", b"/a/./b", b"/.", b"/a%2fb", b"/a%00"):
        assert names_of(path, windows=False) is names_of(path, windows=True) is None
    assert names_of(b"*") is names_of(b"") is names_of(b"a") is None
    assert is_hidden("\u200c.git")
    assert not is_hidden(".well-known")
    assert not is_hidden("a.b")


# Clients of others.


def test_curl_and_wget(root: Path, tmp_path: Path) -> None:
    data = bytes(range(256)) * 2000
    (root / "data").write_bytes(data)
    os.utime(root / "data", (1_000_000_000, 1_000_000_000))

    def call(command: list[str]) -> bytes:
        return subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=True).stdout

    async def client(server: socket2.Server) -> None:
        url = f"http://127.0.0.1:{server.addresses[0][1]}/data"

        async def ask(*args: str) -> bytes:
            return await socket2.call_in_thread(call, curl.command(*args, url))

        assert await ask() == data
        assert await ask("-r", "10-19") == data[10:20]
        assert await ask("-z", "Sun, 09 Sep 2001 01:46:40 GMT", "-w", "%{http_code}") == b"304"
        (tmp_path / "part").write_bytes(data[:1234])
        await ask("-C", "-", "-o", str(tmp_path / "part"))
        assert (tmp_path / "part").read_bytes() == data
        (tmp_path / "part").write_bytes(data[:1234])
        wget = [needs("wget"), "--no-config", "--no-proxy", "-q", "-c", "-O", str(tmp_path / "part"), url]
        await socket2.call_in_thread(call, wget)
        assert (tmp_path / "part").read_bytes() == data

    serve(http.directory(root), client)
