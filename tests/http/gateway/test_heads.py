"""What becomes of heads and trailers on their way through a proxy."""

from __future__ import annotations

from typing import Any

import pytest

from socket2.http.gateway import hops

from ..client.scripted import Steps, always, answer
from ..scene import undated
from .scene import CLOSE, once, through

OURS = (
    "x-forwarded-for: 127.0.0.1\r\nx-forwarded-proto: http\r\nx-forwarded-host: a\r\n"
    'forwarded: for=127.0.0.1;host="a";proto=http\r\nvia: 1.1 socket2\r\n'
)


def passed(fields: bytes, line: bytes = b"GET /a?b HTTP/1.1", **options: Any) -> str:
    """Return the head that the upstream gets."""
    _, heads = once(line + b"\r\nHost: a\r\n" + fields + b"\r\n", **options)
    return heads[0]


def test_a_request() -> None:
    assert passed(b"Accept: */*\r\nX-A:  b \r\nX-A: c\r\n") == (
        f"GET /a?b HTTP/1.1\r\nhost: a\r\naccept: */*\r\nx-a: b\r\nx-a: c\r\n{OURS}\r\n"
    )


HOPS = (
    b"Connection: close, X-Secret, Cookie\r\nX-Secret: 1\r\nCookie: a=b\r\nKeep-Alive: timeout=5\r\n"
    b"Proxy-Connection: x\r\nTE: trailers\r\nTrailer: X-T\r\nProxy-Authorization: Basic x\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMA\r\n"
)


@pytest.mark.parametrize(
    "fields",
    [
        b"A: b\r\n",
        b"A:\r\nB:  c \t\r\nCookie: x\r\nCOOKIE: y\r\n",
        b"Connection: Keep-Alive\r\nKeep-Alive: timeout=5\r\n",
        b"Connection: close\r\nClose: 1\r\n",
        b"Connection: keep-alive, a\r\nA: b\r\n",
        b"A: b\r\nConnection:\r\n",
        b"TE: trailers\r\nContent-Length: 0\r\nExpect: 100-continue\r\nUpgrade: x\r\n",
        b"X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_Host: b\r\nForwarded: for=6.6.6.6\r\n",
        b"Via: 1.1 other\r\nX-Long: %b\r\n" % (b"y" * 2000),
    ],
)
@pytest.mark.parametrize("peer", ["192.0.2.1", "2001:db8::1"])
def test_fields_one_by_one_and_all_together(fields: bytes, peer: str) -> None:
    """What becomes of a field that many requests have is known already."""
    hop = hops.hop_of((peer, 80), frozenset(), "https", b"a", b"socket2")
    block = b"\r\nHost: a\r\n" + fields + b"\r\n"
    for _ in range(2):
        hops._request_fields.cache_clear()
        assert hops._request_fields(block, 1, b"b", hop) == hops._chosen_fields(block, 1, b"b", hop)


def test_fields_of_the_connection_stay_behind() -> None:
    assert passed(HOPS) == f"GET /a?b HTTP/1.1\r\nhost: a\r\n{OURS}\r\n"


def test_connection_cannot_remove_what_the_proxy_says() -> None:
    named = b"Connection: x-forwarded-for, host, via, content-length, forwarded\r\n"
    assert passed(named) == f"GET /a?b HTTP/1.1\r\nhost: a\r\n{OURS}\r\n"
    assert "content-length: 0\r\n" in passed(named, b"POST / HTTP/1.1")


SPOOFED = (
    b"X-Forwarded-For: 6.6.6.6\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil\r\nForwarded: for=6.6.6.6\r\n"
    b"X-Forwarded-Port: 1\r\nX_Forwarded_For: 6.6.6.6\r\nVia: 1.0 b\r\n"
)


def test_what_clients_say_of_others_is_dropped() -> None:
    assert passed(SPOOFED) == f"GET /a?b HTTP/1.1\r\nhost: a\r\nvia: 1.0 b\r\n{OURS}\r\n"


def test_what_trusted_proxies_say_is_kept() -> None:
    head = passed(SPOOFED, trusted=["127.0.0.1"])
    assert "\r\nx-forwarded-for: 6.6.6.6, 127.0.0.1\r\n" in head
    assert "\r\nx-forwarded-proto: https\r\n" in head
    assert "\r\nx-forwarded-host: a\r\n" in head
    assert '\r\nforwarded: for=127.0.0.1;host="a";proto=https\r\n' in head
    assert "evil" not in head
    assert "x_forwarded_for" not in head
    head = passed(SPOOFED, trusted=["127.0.0.1"], trusted_fields="forwarded")
    assert "\r\nx-forwarded-for: 127.0.0.1\r\n" in head
    assert '\r\nforwarded: for=6.6.6.6, for=127.0.0.1;host="a";proto=http\r\n' in head


@pytest.mark.parametrize(
    ("line", "target", "host"),
    [
        (b"GET http://b:80/x?y HTTP/1.1", "GET /x?y ", "b:80"),
        (b"GET http://b?y HTTP/1.1", "GET /?y ", "b"),
        (b"GET http://b HTTP/1.1", "GET / ", "b"),
        (b"OPTIONS http://b HTTP/1.1", "OPTIONS * ", "b"),
        (b"OPTIONS * HTTP/1.1", "OPTIONS * ", "a"),
        (b"GET /a/../b//c%2F;d?e?f HTTP/1.1", "GET /a/../b//c%2F;d?e?f ", "a"),
        (b"GET http://b/? HTTP/1.1", "GET /? ", "b"),
    ],
)
def test_targets(line: bytes, target: str, host: str) -> None:
    head = passed(b"", line)
    assert head.startswith(f"{target}HTTP/1.1\r\nhost: {host}\r\n")
    assert f"\r\nx-forwarded-host: {host}\r\n" in head


def test_the_host_of_the_upstream() -> None:
    def test(scene: Any) -> Steps:
        yield from scene.ask(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        fields = scene.upstream.fields()
        assert fields["host"] == f"127.0.0.1:{scene.upstream.port}"
        assert fields["x-forwarded-host"] == "a"
        yield from scene.ask(b"GET / HTTP/1.0\r\n\r\n")
        assert "x-forwarded-host" not in scene.upstream.fields()

    through(test, host="upstream")


def test_http_1_0_without_a_host() -> None:
    found, heads = once(b"GET / HTTP/1.0\r\n\r\n")
    assert heads[0].startswith("GET / HTTP/1.1\r\nhost: 127.0.0.1:")
    assert heads[0].endswith("via: 1.0 socket2\r\n\r\n")
    assert b"\r\nconnection: close\r\n" in found


def test_a_response() -> None:
    script = always(
        b"HTTP/1.1 201 Great\r\nServer: s\r\nSet-Cookie: a\r\nSet-Cookie: b\r\nConnection: X-Mine\r\nX-Mine: 1\r\n"
        b"Keep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\nTrailer: X-T\r\nVia: 1.1 c\r\nContent-Length: 2\r\n"
        b"\r\nok"
    )
    assert once(CLOSE, script)[0] == (
        b"HTTP/1.1 201 Created\r\nserver: s\r\nset-cookie: a\r\nset-cookie: b\r\nvia: 1.1 c\r\nvia: 1.1 socket2\r\n"
        b"content-length: 2\r\nconnection: close\r\n\r\nok"
    )


def test_a_date_is_passed_on_or_added() -> None:
    date = "Date: Sun, 06 Nov 1994 08:49:37 GMT"

    def test(scene: Any) -> Steps:
        with (yield from scene.connect()) as conn:
            for count in (1, 1):
                yield from conn.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                head = yield from conn.recvuntil(b"\r\n\r\n")
                assert head.lower().count(b"\r\ndate: ") == count
                found.append(date.lower().encode() in head.lower())

    found: list[bool] = []
    through(test, always(answer(b"", date), answer(b"")))
    assert found == [True, False]


@pytest.mark.parametrize("minor", [0, 1])
def test_trailers(minor: int) -> None:
    trailers = b"X-T: y\r\nSet-Cookie: z\r\n"
    response = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n" + trailers + b"\r\n"
    found, _ = once(b"GET / HTTP/1.%d\r\nHost: a\r\nConnection: close\r\n\r\n" % minor, always(response))
    body = found.partition(b"\r\n\r\n")[2]
    assert body == (b"2\r\nhi\r\n0\r\nx-t: y\r\n\r\n" if minor else b"hi")


def test_trailers_of_a_request() -> None:
    def script(peer: Any) -> Steps:
        yield from peer.head()
        got.append((yield from peer.lines.recvuntil(b"\r\n\r\n", keep_end=True)))
        yield from peer.send(answer(b"ok"))

    got: list[bytes] = []
    body = b"2\r\nhi\r\n0\r\nX-T: y\r\nHost: evil\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n"
    once(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body, script)
    assert got == [b"2\r\nhi\r\n0\r\nx-t: y\r\n\r\n"]


@pytest.mark.parametrize(
    ("request_line", "response", "expected"),
    [
        (b"HEAD / ", b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n", b"content-length: 7\r\n"),
        (b"HEAD / ", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"transfer-encoding: chunked\r\n"),
        (b"GET / ", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
        (b"GET / ", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\nETag: x\r\n\r\n", b"content-length: 7\r\n"),
        (b"GET / ", b"HTTP/1.1 304 Not Modified\r\n\r\n", b""),
        (b"GET / ", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"content-length: 0\r\n"),
    ],
)
def test_responses_without_a_body(request_line: bytes, response: bytes, expected: bytes) -> None:
    """Each is followed by another one on both connections, which shows that both sides agree where it ends."""

    def test(scene: Any) -> Steps:
        with (yield from scene.connect()) as conn:
            for _ in range(2):
                yield from conn.sendall(request_line + b"HTTP/1.1\r\nHost: a\r\n\r\n")
                head = undated((yield from conn.recvuntil(b"\r\n\r\n", keep_end=True)))
                framing = [line for line in head.split(b"\r\n") if line.startswith((b"content-length", b"transfer"))]
                assert b"".join(line + b"\r\n" for line in framing) == expected
                assert not conn.buffered
        assert scene.upstream.connections == 1

    through(test, always(response, response))
