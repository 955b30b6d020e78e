"""Redirects: the next method and body, and what another server must not learn. RFC 9110, 15.4."""

from __future__ import annotations

import pytest

from socket2 import http
from socket2.http import Client
from tests.tls.certificates import Authority

from .scripted import Peer, Steps, always, answer, echo, in_thread, serving


def to(location: str, status: int = 302, *lines: str) -> bytes:
    return answer(b"gone", f"Location: {location}", *lines, status=f"{status} Moved")


@pytest.mark.parametrize(
    ("status", "method", "further", "keeps_body"),
    [
        (301, "GET", "GET", True),
        (301, "POST", "GET", False),
        (301, "PUT", "PUT", True),
        (302, "POST", "GET", False),
        (302, "HEAD", "HEAD", True),
        (303, "POST", "GET", False),
        (303, "PUT", "GET", False),
        (303, "HEAD", "HEAD", True),
        (307, "POST", "POST", True),
        (308, "POST", "POST", True),
    ],
)
@in_thread
def test_methods_and_bodies(status: int, method: str, further: str, keeps_body: bool) -> Steps:
    def script(peer: Peer) -> Steps:
        yield from peer.request()
        head = to("/b", status)
        yield from peer.send(head if method != "HEAD" else head.removesuffix(b"gone"))
        yield from echo(peer)

    body = b"body" if method in ("POST", "PUT") else b""
    headers = {"Content-Type": "x/y", "X-Kept": "yes"}
    with serving(script) as server, Client() as client:
        with (yield from client.request(method, f"{server.url}/a", body=body, headers=headers)) as response:
            assert response.url == f"{server.url}/b"
            assert response.method == further
            assert [(one.status, one.url, one.closed) for one in response.history] == [
                (status, f"{server.url}/a", True)
            ]
        assert server.heads[1].startswith(f"{further} /b ")
        assert server.bodies == [body, body if keeps_body else b""]
        assert server.fields()["x-kept"] == "yes"
        assert ("content-type" in server.fields()) == keeps_body
        assert server.connections == 1


@in_thread
def test_a_body_that_cannot_be_sent_again() -> Steps:
    with serving(always(to("/b", 307), answer(b"ok"))) as server, Client() as client:
        with pytest.raises(http.RedirectError, match="needs the body again"):
            yield from client.request("POST", server.url, body=iter([b"x"]))
    with serving(always(to("/b", 307), answer(b"ok"))) as server, Client() as client:
        with (yield from client.request("POST", server.url, body=[b"x", b"y"])) as response:
            assert (yield from response.read()) == b"ok"
        assert server.bodies == [b"xy", b"xy"]


SECRETS = {"Authorization": "Bearer x", "Cookie": "own=1", "X-Kept": "yes"}


@in_thread
def test_another_origin_learns_no_secrets() -> Steps:
    with serving(echo) as other, Client() as client:
        with serving(always(to(f"{other.url}/b", 302, "Set-Cookie: jar=1"), to("/c"), answer())) as server:
            with (yield from client.request("GET", server.url, headers={**SECRETS, "Host": "virtual"})) as response:
                assert response.status == 200
            fields = other.fields()
            assert not fields.keys() & {"authorization"}
            assert fields["x-kept"] == "yes"
            assert fields["host"] == f"127.0.0.1:{other.port}"
            assert "own" not in fields.get("cookie", "")
            # within one origin they stay
            with (yield from client.request("GET", server.url, headers=SECRETS)):
                assert server.fields()["authorization"] == "Bearer x"
                assert server.fields()["cookie"] == "own=1"


@in_thread
def test_limits() -> Steps:
    def for_ever(peer: Peer) -> Steps:
        while (yield from peer.request()) is not None:
            yield from peer.send(to("/again"))

    with serving(for_ever) as server, Client() as client:
        with pytest.raises(http.RedirectError, match="more than 10 redirects"):
            yield from client.request("GET", server.url)
        assert len(server.heads) == 11
        with (yield from client.request("GET", server.url, redirects=0)) as response:
            assert response.status == 302
            assert response.is_redirect
            assert (yield from response.read()) == b"gone"
        assert client._means.pool.used == 0


@pytest.mark.parametrize(
    ("location", "error"),
    [
        ("ftp://a/", "leads to no URL.*scheme"),
        ("http://a b/", "leads to no URL"),
        ("http://[/", "leads to no URL"),
        ("javascript:alert(1)", "leads to no URL"),
        ("file:///etc/passwd", "leads to no URL"),
    ],
)
@in_thread
def test_where_a_redirect_must_not_lead(location: str, error: str) -> Steps:
    with serving(always(to(location))) as server, Client() as client:
        with pytest.raises(http.RedirectError, match=error):
            yield from client.request("GET", server.url)
        assert client._means.pool.used == 0


@in_thread
def test_answers_that_are_no_redirects() -> Steps:
    for status, lines in [
        ("302 Found", []),
        ("304 Not Modified", ["Location: /b"]),
        ("300 Multiple Choices", ["Location: /b"]),
        ("201 Created", ["Location: /b"]),
    ]:
        with serving(always(answer(b"", *lines, status=status))) as server, Client() as client:
            with (yield from client.request("GET", server.url)) as response:
                assert not response.history


@in_thread
def test_a_location_beyond_ascii() -> Steps:
    head = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /caf"
    for letter in (b"\xc3\xa9", b"\xe9"):
        with serving(always(head + letter + b"\r\n\r\n", answer())) as server:
            with Client() as client, (yield from client.request("GET", server.url)):
                pass
        assert server.heads[1].startswith("GET /caf%C3%A9 ")


@in_thread
def test_from_https_to_http(authority: Authority) -> Steps:
    tls = authority.client()
    with serving(echo) as plain:
        with serving(always(to(f"{plain.url}/b")), tls=authority.server()) as server:
            with Client(tls=tls) as client, pytest.raises(http.RedirectError, match="from https to http://"):
                yield from client.request("GET", server.secure_url)
            with Client(tls=tls, allow_downgrade=True) as client:
                with (yield from client.request("GET", server.secure_url)) as response:
                    assert (yield from response.read()) == b"GET /b HTTP/1.1"
