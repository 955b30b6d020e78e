"""Cookies between requests of one client."""

from __future__ import annotations

from http.cookiejar import CookieJar

import pytest

from socket2.http import Client
from tests.tls.certificates import Authority

from .scripted import Steps, always, answer, echo, in_thread, serving


def get(client: Client, url: str, **headers: str) -> Steps:
    with (yield from client.request("GET", url, headers=headers)) as response:
        yield from response.read()


@in_thread
def test_cookies_come_back() -> Steps:
    first = answer(
        b"", "Set-Cookie: a=1; Path=/", "Set-Cookie: b=2; Path=/deep; HttpOnly; SameSite=Lax", "Set-Cookie: c"
    )
    gone = answer(b"", "Set-Cookie: a=; Max-Age=0; Path=/")
    with serving(always(first, answer(), answer(), gone, answer())) as server, Client() as client:
        yield from get(client, server.url)
        assert "cookie" not in server.fields()
        yield from get(client, server.url)
        assert set(server.fields()["cookie"].split("; ")) >= {"a=1"}
        assert "b=2" not in server.fields()["cookie"]
        yield from get(client, f"{server.url}/deep/er")
        assert {"a=1", "b=2"} <= set(server.fields()["cookie"].split("; "))
        yield from get(client, server.url, Cookie="own=3")
        assert server.fields()["cookie"] == "own=3"
        yield from get(client, server.url)
        assert "a=1" not in server.fields().get("cookie", "")
        assert client.cookies is not None
        assert {cookie.name for cookie in client.cookies} == {"b", "c"}


@in_thread
def test_a_secure_cookie_is_for_https(authority: Authority) -> Steps:
    first = answer(b"", "Set-Cookie: a=1; Secure")
    with serving(echo) as plain, serving(always(first, answer()), tls=authority.server()) as secure:
        with Client(tls=authority.client()) as client:
            for url in (secure.secure_url, secure.secure_url, plain.url.replace("127.0.0.1", "localhost")):
                yield from get(client, url)
        assert secure.fields()["cookie"] == "a=1"
        assert "cookie" not in plain.fields()


@in_thread
def test_other_hosts_get_no_cookies() -> Steps:
    with serving(echo) as proxy, Client(proxy=f"http://127.0.0.1:{proxy.port}") as client:
        proxy.scripts = [
            always(answer(b"", "Set-Cookie: a=1; Domain=b.example", "Set-Cookie: d=4"), answer(), answer())
        ]
        for host in ("a.example", "b.example", "a.example"):
            yield from get(client, f"http://{host}/")
        assert ["cookie" in proxy.fields(number) for number in range(3)] == [False, False, True]
        assert proxy.fields()["cookie"] == "d=4"


@in_thread
def test_redirects_keep_cookies() -> Steps:
    moved = answer(b"", "Set-Cookie: a=1", "Location: /b", status="302 Found")
    with serving(always(moved, answer())) as server, Client() as client:
        yield from get(client, server.url)
        assert server.fields()["cookie"] == "a=1"


@pytest.mark.parametrize("is_own", [False, True])
@in_thread
def test_no_jar_or_an_own_one(is_own: bool) -> Steps:
    jar = CookieJar()
    with serving(always(answer(b"", "Set-Cookie: a=1"), answer())) as server:
        with Client(cookies=jar if is_own else False) as client:
            for _ in range(2):
                yield from get(client, server.url)
        assert ("cookie" in server.fields()) == is_own == bool(len(jar))
