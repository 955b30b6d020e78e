"""What only the part in C can get wrong: memory that is missing, and what is not as it expects."""

from __future__ import annotations

import re

import pytest

from socket2.http.messages import syntax
from socket2.http.messages.bounds import Limits
from socket2.http.messages.compiled import compiled
from socket2.http.messages.heads import RequestHead

from ...native.test_memory import failing

pytestmark = pytest.mark.skipif(compiled is None, reason="the part in C is not built, or switched off")

HEAD = b"POST /a/b HTTP/1.1\r\nHost: example.org:8080\r\nContent-Length: 123456\r\nConnection: a, close\r\n\r\n"


def request(head: object, limits: object = Limits()) -> RequestHead | None:
    assert compiled is not None
    made: RequestHead | None = compiled.request(head, limits)
    return made


def test_a_usual_request() -> None:
    head = request(HEAD)
    assert head is not None
    assert (head.method, head.raw_target, head.minor, head.raw) == ("POST", b"/a/b", 1, HEAD)
    assert (head.host, head.body, head.keep_alive) == (b"example.org:8080", 123456, False)
    assert head.block == HEAD[HEAD.index(b"\r") :]


@pytest.mark.parametrize("number", range(12))
def test_each_allocation_fails_once(number: int) -> None:
    with failing(number) as errors:
        head = request(HEAD)
    assert errors or (head is not None and head.body == 123456)


@pytest.mark.parametrize("size", range(len(HEAD)))
def test_a_head_that_is_cut_off_is_none(size: int) -> None:
    assert compiled is not None
    assert request(HEAD[:size]) is None
    assert not compiled.is_request(HEAD[:size])
    assert not compiled.is_response(b"HTTP/1.1 200 OK\r\nA: b\r\n\r\n"[:size][:22])


def test_limits_are_kept() -> None:
    assert request(HEAD, Limits(head_fields=3, target_bytes=4)) is not None
    assert request(HEAD, Limits(head_fields=2)) is None
    assert request(HEAD, Limits(target_bytes=3)) is None


def test_what_is_no_head_is_left_to_python() -> None:
    assert request(bytearray(HEAD)) is None
    assert request(HEAD, None) is None
    assert compiled is not None
    with pytest.raises(TypeError):
        compiled.is_request("GET")
    with pytest.raises(TypeError):
        compiled.request(HEAD)
    with pytest.raises(TypeError):
        compiled.learn("RequestHead")


def test_octets_are_those_of_the_patterns() -> None:
    """Each octet, at each place where there may be some and not others."""
    assert compiled is not None
    for number in range(256):
        octet = bytes([number])
        for head in (
            b"G%bT / HTTP/1.1\r\n\r\n",
            b"GET /%b HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nA%b: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: b%b\r\n\r\n",
        ):
            assert compiled.is_request(head % octet) is bool(syntax.Pattern(False).check(head % octet)), head % octet
        reason = b"HTTP/1.1 200 %b\r\n\r\n" % octet
        assert compiled.is_response(reason) is bool(syntax.Pattern(True).check(reason))
        is_usual = request(b"GET / HTTP/1.1\r\nHost: a%b\r\n\r\n" % octet) is not None
        assert is_usual == bool(re.fullmatch(rb"[\w.~!$&'()*+,;=: \t-]", octet, re.ASCII)), octet
