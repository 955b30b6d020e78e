"""The web server for files, against curl, and bytes by hand."""

from __future__ import annotations

import os
import shutil
import signal
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic

import pytest
import trustme

from ..interop.curl import command
from ..interop.peers import LIMIT_S, Program, beside, call, connect, pattern, python, receive_all
from .backends import head_of, status_of, told
from .running import EXAMPLES, reset, server, settles

NAME = "static_server.py"
DATA = pattern(1, 3_000_000)


@contextmanager
def site(directory: Path, *args: str) -> Iterator[tuple[Program, int]]:
    with server(NAME, *args, str(directory)) as (program, port):
        yield program, port


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    outer = tmp_path_factory.mktemp("site")
    (outer / "secret").write_bytes(b"secret")
    (root := outer / "root").mkdir()
    (root / "data").write_bytes(DATA)
    (root / "small.html").write_bytes(b"0123456789")
    (root / "empty").write_bytes(b"")
    (root / "pages" / "deep").mkdir(parents=True)
    (root / "pages" / "index.html").write_bytes(b"the index")
    (root / "pages" / "deep" / "a <&> b").write_bytes(b"special")
    (root / "pages" / "deep" / ".hidden").write_bytes(b"")
    return root


@pytest.fixture(scope="module")
def port(root: Path) -> Iterator[int]:
    """The port of a server that all these tests share: none of them may harm it."""
    with site(root) as (_, port):
        yield port


def curl(port: int, path: str, *args: str) -> bytes:
    return call(command(*args, f"http://127.0.0.1:{port}/{path}")).stdout


def status(port: int, path: str, *args: str) -> int:
    return int(curl(port, path, *args, "-o", os.devnull, "-w", "%{http_code}"))


def get(path: bytes, *fields: bytes, method: bytes = b"GET") -> bytes:
    """Return a request after which the server closes the connection."""
    lines = [b"%b %b HTTP/1.1" % (method, path), b"Host: a", b"Connection: close", *fields, b"", b""]
    return b"\r\n".join(lines)


# curl.


def test_files_over_one_connection(port: int) -> None:
    urls = [f"http://127.0.0.1:{port}/{name}" for name in ("data", "empty", "data")]
    done = call(command(*urls, "-w", "%{num_connects}"))
    assert done.stdout == DATA + b"1" + b"0" + DATA + b"0"


def test_head(port: int) -> None:
    head = curl(port, "small.html", "-I").decode()
    for field in (
        "200 OK",
        "Content-Length: 10",
        "Content-Type: text/html",
        "Accept-Ranges: bytes",
        "ETag: ",
        "Date: ",
    ):
        assert field in head


@pytest.mark.parametrize(
    ("range_", "expected", "said"),
    [
        ("0-0", b"0", "0-0/10"),
        ("2-5", b"2345", "2-5/10"),
        ("7-", b"789", "7-9/10"),
        ("-3", b"789", "7-9/10"),
        ("-30", b"0123456789", "0-9/10"),
        ("5-99999999999999", b"56789", "5-9/10"),
    ],
)
def test_a_range(port: int, range_: str, expected: bytes, said: str) -> None:
    answer = curl(port, "small.html", "-i", "-r", range_)
    assert answer.startswith(b"HTTP/1.1 206 Partial Content\r\n")
    assert f"Content-Range: bytes {said}\r\n".encode() in answer
    assert answer.endswith(b"\r\n\r\n" + expected)


def test_a_download_that_is_continued(port: int, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(DATA[:1_234_567])
    curl(port, "data", "-C", "-", "-o", str(tmp_path / "data"))
    assert (tmp_path / "data").read_bytes() == DATA


@pytest.mark.parametrize("range_", [b"bytes=10-", b"bytes=-0", b"bytes=99-100"])
def test_a_range_that_is_not_there(port: int, range_: bytes) -> None:
    answer = told(port, get(b"/small.html", b"Range: " + range_))
    assert answer.startswith(b"HTTP/1.1 416 ")
    assert b"Content-Range: bytes */10\r\n" in answer


@pytest.mark.parametrize("range_", [b"bytes=-", b"bytes=5-2", b"bytes=0-1,3-4", b"lines=1-2", b"bytes=a-b"])
def test_a_range_that_is_ignored(port: int, range_: bytes) -> None:
    assert status_of(port, get(b"/small.html", b"Range: " + range_)) == 200


def test_conditional_requests(port: int, tmp_path: Path) -> None:
    tag, first = tmp_path / "tag", tmp_path / "first"
    assert status(port, "small.html", "--etag-save", str(tag)) == 200
    assert status(port, "small.html", "--etag-compare", str(tag)) == 304
    assert status(port, "data", "--etag-compare", str(tag)) == 200
    assert status(port, "small.html", "-H", 'If-None-Match: "x", W/' + tag.read_text().strip()) == 304
    curl(port, "small.html", "-R", "-o", str(first))
    assert status(port, "small.html", "-z", str(first)) == 304
    assert status(port, "small.html", "-z", "2001-01-01") == 200
    assert status(port, "small.html", "-H", "If-Modified-Since: nonsense") == 200
    assert status(port, "small.html", "-H", "If-Modified-Since: Sat, 01 Jan 99999 00:00:00 GMT") in (200, 304)
    assert status(port, "small.html", "-r", "0-1", "-H", 'If-Range: "other"') == 200
    assert status(port, "small.html", "-r", "0-1", "-H", f"If-Range: {tag.read_text().strip()}") == 206


def test_directories(port: int) -> None:
    assert curl(port, "pages/") == b"the index"
    assert curl(port, "pages", "-L") == b"the index"
    page = curl(port, "pages/deep/").decode()
    assert '<a href="./a%20%3C%26%3E%20b">a &lt;&amp;&gt; b</a>' in page
    assert "hidden" not in page
    assert curl(port, "pages/deep/a%20%3C%26%3E%20b?query=1") == b"special"
    assert b'<a href="./pages/">' in curl(port, "")


def test_a_redirect_leads_nowhere_else(port: int) -> None:
    answer = told(port, get(b"//pages/deep"))
    assert b"\r\nLocation: /pages/deep/\r\n" in answer


def test_tls_and_a_new_certificate(root: Path, tmp_path: Path) -> None:
    authority = trustme.CA()
    used, later, ca = tmp_path / "used.pem", tmp_path / "later.pem", tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(ca))
    authority.issue_cert("127.0.0.1", "first.example").private_key_and_cert_chain_pem.write_to_path(str(used))
    authority.issue_cert("127.0.0.1", "later.example").private_key_and_cert_chain_pem.write_to_path(str(later))
    with site(root, "--cert", str(used)) as (program, port):
        url = f"https://127.0.0.1:{port}/data"
        assert call(command("--cacert", str(ca), url, url)).stdout == DATA * 2
        assert call(command("--cacert", str(ca), "-r", "10-19", url)).stdout == DATA[10:20]
        if hasattr(signal, "SIGHUP"):
            shutil.copy(later, used)
            program.send_signal(signal.SIGHUP)
            while "first.example" in names_of(port, ca):
                pass
            assert "later.example" in names_of(port, ca)
        assert told(port, get(b"/")) == b""  # not TLS


def names_of(port: int, ca: Path) -> str:
    context = ssl.create_default_context(cafile=ca)
    with connect("127.0.0.1", port) as sock, context.wrap_socket(sock, server_hostname="127.0.0.1") as tls:
        return str(tls.getpeercert())


# By hand.


@pytest.mark.parametrize(
    "path",
    [
        *(b"/../secret", b"/%2e%2e/secret", b"/..%2fsecret", b"//../secret", b"/pages/../../secret", b"/..%5csecret"),
        *(b"/none", b"/data/", b"/small.html/x", b"/%00", b"/data%00", b"/%ff"),
        *(b"/" + b"x" * 5000, b"/" + b"a/" * 2000),
    ],
)
def test_what_is_not_there(port: int, path: bytes) -> None:
    answer = told(port, get(path))
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"secret" not in answer


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no FIFO here")
def test_links_and_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    root = tmp_path / "root"
    for name in ("site", "site/inner"):
        (root / name).mkdir(parents=True)
    (root / "outside").symlink_to(tmp_path / "secret")
    (root / "inner").symlink_to(root / "site")
    (root / "loop").symlink_to(root / "loop")
    (root / "site" / "index.html").symlink_to(tmp_path / "secret")
    os.mkfifo(root / "fifo")
    with site(root) as (_, port):
        for path in (b"/outside", b"/loop", b"/fifo", b"/site/", b"/inner/"):
            assert status_of(port, get(path)) == 404
        assert status_of(port, get(b"/inner")) == 301


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        (b"\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET a HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbad field: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: a\nY: b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 50_000, 431),
        (b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nabcde", 413),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 413),
        (get(b"/", method=b"POST"), 405),
        (get(b"/small.html", method=b"DELETE"), 405),
    ],
)
def test_bad_requests(port: int, request_: bytes, expected: int) -> None:
    assert status_of(port, request_) == expected


def test_requests_in_one_packet(port: int) -> None:
    request = b"GET /small.html HTTP/1.1\r\n\r\n"
    answer = told(port, request * 10 + b"HEAD /small.html HTTP/1.1\r\n\r\nGET /none HTTP/1.1\r\n\r\n" + get(b"/pages/"))
    assert answer.count(b"\r\n\r\n0123456789HTTP/1.1 200 OK") == 10
    assert b"404 Not Found" in answer
    assert answer.endswith(b"the index")


def test_a_client_with_http_1_0(port: int) -> None:
    assert told(port, b"GET /small.html HTTP/1.0\r\n\r\n").endswith(b"\r\n\r\n0123456789")


def test_clients_that_leave_at_any_point_leave_nothing_behind(root: Path) -> None:
    with site(root) as (program, port), connect("127.0.0.1", port) as probe:

        def ask() -> None:
            probe.sendall(b"HEAD /none HTTP/1.1\r\n\r\n")
            assert b"404 Not Found" in head_of(probe)

        ask()
        open_files = program.open_files()
        request = b"GET /data HTTP/1.1\r\n\r\n"
        for end in range(len(request) + 1):
            for leave in (reset, type(probe).close):
                sock = connect("127.0.0.1", port)
                sock.sendall(request[:end])
                if end == len(request):
                    head_of(sock)  # the rest of the file is on its way
                leave(sock)
        settles(program, open_files, ask)


def test_clients_that_do_not_read_hold_nobody_up_and_are_given_up(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(100_000_000)
    with site(tmp_path, "--client", "0.5") as (program, port), ExitStack() as clients:
        open_files = program.open_files()
        for _ in range(5):
            sock = clients.enter_context(connect("127.0.0.1", port))
            sock.sendall(b"GET /large HTTP/1.1\r\n\r\n")
            assert b"200 OK" in head_of(sock)
        deadline = monotonic() + LIMIT_S
        while program.open_files() > open_files:
            assert monotonic() < deadline
            assert status(port, "none") == 404


def test_a_file_that_becomes_shorter(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.truncate(100_000_000)
        with site(tmp_path) as (_, port), connect("127.0.0.1", port) as sock:
            sock.sendall(b"GET /file HTTP/1.1\r\n\r\n")
            assert b"Content-Length: 100000000\r\n" in head_of(sock)
            file.truncate(10)
            assert len(receive_all(sock)) < 100_000_000


def test_many_clients_at_a_time(port: int) -> None:
    with ExitStack() as stack:
        asking = [stack.enter_context(beside(told, port, get(b"/data"))) for _ in range(20)]
        assert all(one.outcome().endswith(b"\r\n\r\n" + DATA) for one in asking)


# The end.


def test_ctrl_c_while_busy(tmp_path: Path) -> None:
    with (tmp_path / "large").open("wb") as file:
        file.truncate(100_000_000)
    with ExitStack() as clients:
        with site(tmp_path, "--grace", "0.1") as (_, port):
            sock = clients.enter_context(connect("127.0.0.1", port))
            sock.sendall(b"GET /large HTTP/1.1\r\n\r\n")
            assert b"200 OK" in head_of(sock)


def test_bad_arguments(tmp_path: Path) -> None:
    with python(EXAMPLES / NAME, str(tmp_path / "none")) as program:
        assert program.wait() == 2
        assert b"is not a directory" in program.stderr()
    with python(EXAMPLES / NAME, "--cert", str(tmp_path / "none"), str(tmp_path)) as program:
        assert program.wait() == 1
        assert program.stderr().startswith(b"cannot use ")
