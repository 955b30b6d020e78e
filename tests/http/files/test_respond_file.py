"""Answers with a file: what is sent of it, and what happens if it changes or somebody leaves."""

from __future__ import annotations

import logging
import os
import re
import tracemalloc
from email import message_from_bytes
from pathlib import Path
from typing import Any

import pytest

import pollers
import socket2
from socket2 import http
from socket2.http import Request
from socket2.http.serving.reading import PIECE

from ...interop.peers import pattern, run
from ..scene import connect, everything, exchanges, serve

AT = 1_000_000_000
DATE = b"Sun, 09 Sep 2001 01:46:40 GMT"
LARGE = pattern(3, 300_000)
BIG = 1 << 24


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return made(tmp_path / "small.html", b"0123456789")


@pytest.fixture
def large(tmp_path: Path) -> Path:
    return made(tmp_path / "large", LARGE)


@pytest.fixture
def big(tmp_path: Path) -> Path:
    path = tmp_path / "big"
    with path.open("wb") as file:
        file.truncate(BIG)
    return path


def made(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    os.utime(path, (AT, AT))
    return path


def get(*fields: bytes, method: bytes = b"GET") -> bytes:
    return b"\r\n".join([method + b" / HTTP/1.1", b"Host: a", *fields, b"", b""])


def answering(path: Any, **options: Any) -> Any:
    async def answer(request: Request) -> None:
        await request.respond_file(path, **options)

    return answer


def asked(path: Any, *fields: bytes, method: bytes = b"GET", **options: Any) -> tuple[int, dict[str, str], bytes]:
    """Return the status, fields and body of the answer."""
    head, _, body = exchanges(answering(path, **options), get(*fields, method=method)).partition(b"\r\n\r\n")
    line, *lines = head.decode("latin-1").split("\r\n")
    return int(line.split(" ")[1]), dict(each.split(": ", 1) for each in lines), body


def test_a_whole_file(small: Path) -> None:
    status, fields, body = asked(small)
    assert (status, body) == (200, b"0123456789")
    assert re.fullmatch('"[0-9a-f]{18}"', fields.pop("etag"))
    assert fields == {
        "last-modified": DATE.decode(),
        "accept-ranges": "bytes",
        "content-type": "text/html; charset=utf-8",
        "content-length": "10",
    }


@pytest.mark.parametrize("range_", [(), (b"Range: bytes=0-1",)])
def test_head(range_: tuple[bytes, ...], small: Path, large: Path) -> None:
    for path in (small, large):
        _, expected, _ = asked(path)
        assert asked(path, *range_, method=b"HEAD") == (200, expected, b"")


def test_every_change_of_a_file_changes_its_tag(small: Path) -> None:
    tags = [asked(small)[1]["etag"]]
    os.utime(small, ns=(AT, AT * 10**9 + 100))  # no system counts in larger steps
    tags.append(asked(small)[1]["etag"])
    made(small, b"012345678")
    tags.append(asked(small)[1]["etag"])
    other = made(small.parent / "other", b"012345678")
    other.replace(small)
    tags.append(asked(small)[1]["etag"])
    assert len(set(tags)) == 4


def test_conditions(small: Path) -> None:
    tag = asked(small)[1]["etag"].encode()
    for fields, expected in [
        ([b"If-None-Match: " + tag], 304),
        ([b"If-Modified-Since: " + DATE], 304),
        ([b"If-None-Match: " + tag, b"Range: bytes=0-0"], 304),
        ([b"If-Match: " + tag], 200),
        ([b'If-Match: "x"'], 412),
        ([b'If-Match: "x"', b"Range: bytes=99-"], 412),
    ]:
        assert asked(small, *fields)[0] == expected
    for known, expected in [(tag, 206), (b'"x"', 200), (DATE, 206), (b"W/" + tag, 200)]:
        assert asked(small, b"Range: bytes=0-0", b"If-Range: " + known)[0] == expected
    assert asked(small, b'If-Range: "x"')[0] == 200


def test_not_modified_has_the_fields_of_the_version_and_no_others(small: Path) -> None:
    given = {"Cache-Control": "no-cache", "Vary": "a", "Content-Encoding": "br", "Content-Language": "de"}
    status, fields, body = asked(small, b"If-None-Match: *", headers=given)
    assert (status, body) == (304, b"")
    assert fields.keys() == {"etag", "last-modified", "accept-ranges", "cache-control", "vary"}


@pytest.mark.parametrize("field", [b"Range: bytes=10-", b'If-Match: "x"'])
def test_caches_are_not_told_to_keep_an_answer_without_the_file(field: bytes, small: Path) -> None:
    status, fields, body = asked(small, field, headers={"Cache-Control": "max-age=60", "Expires": DATE.decode()})
    assert status in (412, 416)
    assert body in (b"Precondition Failed\n", b"Range Not Satisfiable\n")
    assert fields.keys() - {"content-range"} == {"content-type", "content-length"}
    assert fields.get("content-range", "bytes */10") == "bytes */10"


@pytest.mark.parametrize("size", [10, 300_000])
def test_one_part(size: int, tmp_path: Path) -> None:
    path = made(tmp_path / "file", LARGE[:size])
    for said, first, last in [("1-3", 1, 3), (f"2-{size}", 2, size - 1), ("-4", size - 4, size - 1)]:
        status, fields, body = asked(path, b"Range: bytes=" + said.encode())
        assert (status, body) == (206, LARGE[first : last + 1])
        assert fields["content-range"] == f"bytes {first}-{last}/{size}"
        assert fields["etag"]


@pytest.mark.parametrize("first_size", [10, 200_000])
def test_several_parts(first_size: int, large: Path) -> None:
    said = f"Range: bytes=5-{first_size + 4},290000-290001"
    status, fields, body = asked(large, said.encode())
    assert status == 206
    assert "content-range" not in fields
    found = message_from_bytes(f"Content-Type: {fields['content-type']}\r\n\r\n".encode() + body)
    assert found.get_content_type() == "multipart/byteranges"
    assert [
        (part["content-range"], part["content-type"], part.get_payload(decode=True))
        for part in found.walk()
        if part is not found
    ] == [
        (f"bytes 5-{first_size + 4}/300000", "application/octet-stream", LARGE[5 : first_size + 5]),
        ("bytes 290000-290001/300000", "application/octet-stream", LARGE[290000:290002]),
    ]


def test_several_parts_that_are_longer_than_the_whole(small: Path) -> None:
    status, fields, body = asked(small, b"Range: bytes=0-1,3-4")
    assert (status, body, fields["content-type"]) == (200, b"0123456789", "text/html; charset=utf-8")


def test_fields_and_a_status_of_the_program(small: Path) -> None:
    status, fields, body = asked(small, b'If-None-Match: "mine"', headers={"ETag": '"mine"'})
    assert (status, fields["etag"], body) == (304, '"mine"', b"")
    status, fields, body = asked(small, b"Range: bytes=0-0", b"If-None-Match: *", status=404, content_type="text/x")
    assert (status, body) == (404, b"0123456789")
    assert fields == {"content-type": "text/x", "content-length": "10"}
    assert asked(small, headers={"Content-Type": "text/y"})[1]["content-type"] == "text/y"


def test_an_open_file_stays_open(small: Path, large: Path) -> None:
    for path in (small, large):
        with path.open("rb") as file:
            assert asked(file)[2] == path.read_bytes()
            assert not file.closed
        with path.open() as text:
            assert asked(text)[0] == 500


@pytest.mark.parametrize("kind", ["directory", "none", "fifo"])
def test_what_cannot_be_opened_is_an_error_before_the_answer(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        if not hasattr(os, "mkfifo"):
            pytest.skip("no FIFO here")
        os.mkfifo(path)
    seen: list[OSError] = []

    async def answer(request: Request) -> None:
        try:
            await request.respond_file(path)
        except OSError as error:
            seen.append(error)
            await request.respond(404)

    assert exchanges(answer, get()).startswith(b"HTTP/1.1 404 ")
    assert len(seen) == 1


@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
@pytest.mark.parametrize("length", [None, 300_006])
def test_pieces_of_an_answer(version: bytes, length: int | None, large: Path) -> None:
    async def answer(request: Request) -> None:
        with large.open("rb") as file:
            await request.start(200, length=length, flush=False)
            await request.sendfile(file, count=100_000)
            await request.send("middle")
            await request.sendfile(file, 100_000)

    found = exchanges(answer, b"GET / HTTP/" + version + b"\r\nHost: a\r\n\r\n").partition(b"\r\n\r\n")[2]
    if length is None and version == b"1.1":
        found = re.sub(rb"(?<=\r\n)[0-9a-f]+\r\n", b"", b"\r\n" + found)
        assert len(found) > 300_006
    else:
        assert found == LARGE[:100_000] + b"middle" + LARGE[100_000:]


def test_a_piece_that_is_too_long_or_before_the_answer(large: Path) -> None:
    async def answer(request: Request) -> None:
        with large.open("rb") as file:
            with pytest.raises(RuntimeError):
                await request.sendfile(file, 0, 1)
            await request.start(200, length=2)
            with pytest.raises(ValueError, match="more than"):
                await request.sendfile(file)
            await request.sendfile(file, 0, 2)

    assert exchanges(answer, get()).endswith(b"\r\n\r\n" + LARGE[:2])


# Transfers. The client has to read, or it is held up.


def test_a_part_that_is_not_in_memory_is_awaited_in_an_os_thread(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []

    def cold(fd: int, buffers: Any, offset: int, flags: int = 0) -> int:
        raise BlockingIOError

    def pread(fd: int, size: int, offset: int) -> bytes:
        read.append(offset)
        return b""

    monkeypatch.setattr("socket2.http.serving.reading._NOWAIT", 1)
    monkeypatch.setattr(os, "preadv", cold, raising=False)
    monkeypatch.setattr(os, "pread", pread, raising=False)
    assert asked(large)[2] == LARGE
    assert read == list(range(0, len(LARGE), PIECE))


@pytest.mark.parametrize("name", pollers.available())
def test_large_files_over_every_poller(name: str, large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOCKET2_POLLER", name)
    found = exchanges(answering(large), get(), get(b"Range: bytes=1-", b"Connection: close"))
    assert found.count(LARGE[1:]) == 2


def test_a_file_that_becomes_shorter_breaks_the_connection(big: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(get() * 2)
            assert b"content-length: %d" % BIG in await stream.recvuntil(b"\r\n\r\n")
            os.truncate(big, 10)
            rest = await stream.recvall()
            assert len(rest) < BIG
            assert b"HTTP/1.1" not in rest

    serve(answering(big), client, grace_s=5)
    assert "shorter" in caplog.text


def test_a_file_that_becomes_longer_is_cut_at_its_length(big: Path) -> None:
    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(get())
            await stream.recvuntil(b"\r\n\r\n")
            os.truncate(big, BIG + 10)
            await stream.recvn(BIG)
            await stream.sendall(get(method=b"HEAD"))
            assert (await stream.recvuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")

    serve(answering(big), client)


async def count(stream: socket2.Stream) -> int:
    size = 0
    while data := await stream.recv():
        size += len(data)
    return size


def test_memory_stays_flat(big: Path) -> None:
    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(get(b"Connection: close"))
            tracemalloc.start()
            try:
                assert await count(stream) > BIG
                assert tracemalloc.get_traced_memory()[1] < BIG // 8
            finally:
                tracemalloc.stop()

    serve(answering(big), client)


def test_a_transfer_that_is_cancelled_breaks_the_connection(big: Path) -> None:
    blocks: list[socket2.scope] = []

    async def answer(request: Request) -> None:
        with socket2.scope() as block:
            blocks.append(block)
            await request.respond_file(big)

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(get() * 2)
            await stream.recvuntil(b"\r\n\r\n")
            blocks[0].cancel()
            assert await count(stream) < BIG
            assert len(blocks) == 1

    serve(answer, client, grace_s=5)


def test_a_client_that_leaves_is_no_fault(big: Path, caplog: pytest.LogCaptureFixture) -> None:
    ended = socket2.Event()

    async def answer(request: Request) -> None:
        try:
            await request.respond_file(big)
        finally:
            ended.set()

    async def client(server: socket2.Server) -> None:
        with await connect(server) as stream:
            await stream.sendall(get())
            await stream.recvuntil(b"\r\n\r\n")
            stream.sock.setopt("linger", 0)
        await ended.wait()

    serve(answer, client, grace_s=5)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize("can_tell", [True, False])
def test_tls(can_tell: bool, large: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`can_tell`: whether the system can say that a read would wait for the disk."""
    if not can_tell:
        monkeypatch.setattr("socket2.http.serving.reading._NOWAIT", None)
    trustme = pytest.importorskip("trustme")
    pem = tmp_path / "server.pem"
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(pem))

    async def main() -> None:
        trusting = socket2.client_context()
        authority.configure_trust(trusting)
        served = socket2.Server(http.handler(answering(large)), tls=socket2.server_context(pem))
        await served.listen("127.0.0.1", 0)
        address = served.addresses[0]
        with socket2.stream(await socket2.connect(address, tls=trusting, server_hostname="localhost")) as stream:
            await stream.sendall(get() + get(b"Range: bytes=7-", b"Connection: close"))
            found = await everything(stream)
            assert found.count(LARGE[7:]) == 2
        await served.stop()

    run(main)
