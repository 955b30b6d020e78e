"""Which URLs a request can have, and what becomes of what users type."""

from __future__ import annotations

import pytest

from socket2.http import InvalidURL
from socket2.http.client.url import URL, parse_url


@pytest.mark.parametrize(
    ("text", "host", "port", "target"),
    [
        ("http://a", "a", 80, "/"),
        ("HTTPS://EXAMPLE.org?x", "example.org", 443, "/?x"),
        ("http://a:8080/b", "a", 8080, "/b"),
        ("http://a:/b", "a", 80, "/b"),
        (" http://a/b\n", "a", 80, "/b"),
        ("http://a/b c?d e#f g", "a", 80, "/b%20c?d%20e"),
        ("http://a/ü?ä=ß", "a", 80, "/%C3%BC?%C3%A4=%C3%9F"),
        ("http://a/%41%zz%", "a", 80, "/%41%25zz%25"),
        ("http://a/b%2Fc;d=e,f@g:h", "a", 80, "/b%2Fc;d=e,f@g:h"),
        ("http://a/b/../c/./d/..", "a", 80, "/c/"),
        ("http://a/../..", "a", 80, "/"),
        ("http://a/b/%2e%2e/c", "a", 80, "/b/%2e%2e/c"),
        ("http://a//b", "a", 80, "//b"),
        ("http://a/?x=/../y", "a", 80, "/?x=/../y"),
        ('http://a/"<>[]{}|^`', "a", 80, "/%22%3C%3E%5B%5D%7B%7D%7C%5E%60"),
        ("http://bücher.example/", "xn--bcher-kva.example", 80, "/"),
        ("http://b%C3%BCcher.example/", "xn--bcher-kva.example", 80, "/"),
        ("http://a_b.example./", "a_b.example.", 80, "/"),
        ("http://127.0.0.1/", "127.0.0.1", 80, "/"),
        ("http://[::1]:81/", "::1", 81, "/"),
        ("http://[0:0::1]/", "::1", 80, "/"),
        ("http://me:p%40ss@a/", "a", 80, "/"),
    ],
)
def test_what_is_taken(text: str, host: str, port: int, target: str) -> None:
    url = parse_url(text)
    assert (url.host, url.port, url.target) == (host, port, target)
    assert parse_url(str(url)) == url


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "begins with a scheme"),
        ("example.org/a", "did you mean http://example.org/a"),
        ("localhost:80", "did you mean http://localhost:80"),
        ("/a", "begins with a scheme"),
        ("//a/b", "begins with a scheme"),
        ("http:/a", "begins with a scheme"),
        ("ftp://a/", "scheme must be http or https"),
        ("http://", "no host"),
        ("http:///a", "no host"),
        ("http://:80/", "no host"),
        ("http://a:b/", "host, or a host and a port"),
        ("http://a:65536/", "port must be"),
        ("http://a:0/", "port must be"),
        ("http://a:" + "1" * 5000, "port must be"),
        ("http://a:8\u0660/", "host, or a host and a port"),
        ("http://a\\@b/", "backslash"),
        ("http://a/\0", "control characters"),
        ("http://a/\r\nX: y", "control characters"),
        ("http://a b/", "not a host name"),
        ("http://a..b/", "not a host name"),
        ("http://-a/", "not a host name"),
        ("http://a%2Fb/", "not a host name"),
        ("http://a%00b/", "not a host name"),
        ("http://%ff/", "not a host name"),
        ("http://" + "a" * 64 + "/", "not a host name"),
        ("http://" + "a." * 130 + "/", "not a host name"),
        ("http://[::1/", "host, or a host and a port"),
        ("http://[::g]/", "Only hex digits|not permitted"),
        ("http://[127.0.0.1]/", "."),
        ("http://127.1/", "not an IPv4 address"),
        ("http://0x7f.1/", "not an IPv4 address"),
        ("http://2130706433/", "not an IPv4 address"),
        ("http://0177.0.0.1/", "not an IPv4 address"),
        ("http://1.2.3.4.5/", "not an IPv4 address"),
        ("http://\u2488/", "not an IPv4 address|not a"),
        ("http://a:b@c@d/", "not a host name"),
    ],
)
def test_what_is_refused(text: str, error: str) -> None:
    with pytest.raises(InvalidURL, match=error):
        parse_url(text)


def test_a_password_is_never_shown() -> None:
    url = parse_url("http://me:secret@a/b")
    assert url.authorization == "Basic bWU6c2VjcmV0"
    assert "secret" not in f"{url} {url!r} {url.absolute}"
    for wrong in ("http://me:secret@a:x/", "http://me:secret@a b/", "me:secret@a/", "x://me:sec\nret@a/"):
        with pytest.raises(InvalidURL) as caught:
            parse_url(wrong)
        assert "secret" not in str(caught.value)
        assert "ret@" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "authority", "host_field"),
    [
        ("https://a:443/", "a", "a"),
        ("https://a:80/", "a:80", "a:80"),
        ("http://[::1]:81/", "[::1]:81", "[::1]:81"),
        ("http://[fe80::1%25eth0]/", "[fe80::1%25eth0]", "[fe80::1]"),
    ],
)
def test_the_host_field(text: str, authority: str, host_field: str) -> None:
    url = parse_url(text)
    assert (url.authority, url.host_field) == (authority, host_field)
    assert parse_url(str(url)) == url


@pytest.mark.parametrize(
    ("location", "result"),
    [
        ("/c", "http://a:81/c#f"),
        ("c?d", "http://a:81/x/c?d#f"),
        ("?d", "http://a:81/x/y?d#f"),
        ("", "http://a:81/x/y?q#f"),
        ("#g", "http://a:81/x/y?q#g"),
        ("//b/c", "http://b/c#f"),
        ("../../c", "http://a:81/c#f"),
        ("https://b", "https://b/#f"),
        ("HTTP://b/ü", "http://b/%C3%BC#f"),
    ],
)
def test_where_a_redirect_leads_to(location: str, result: str) -> None:
    assert str(parse_url("http://a:81/x/y?q#f").join(location)) == result


def test_a_query() -> None:
    url = parse_url("http://a/?x")
    assert str(url.with_query({"a": "b c&", "d": [1, True], "e": None})) == "http://a/?x&a=b+c%26&d=1&d=true"
    assert url.with_query({}) == url
    assert isinstance(url.with_query([("a", "1"), ("a", "2")]), URL)
