"""Requests on which servers and proxies have disagreed, as the HTTP Garden project has found, and what is right.

Each has the requests that it is: their method, target and body. If it is refused, what is behind those is.
"""

from __future__ import annotations

from typing import NamedTuple

from ..smuggled import chunked, get, post

Request = tuple[str, str, bytes]

ROOT: Request = ("GET", "/", b"")


class Case(NamedTuple):
    data: bytes
    taken: tuple[Request, ...] = ()  # before the refusal, if there is one
    is_refused: bool = True


def posted(body: bytes) -> tuple[Request, ...]:
    return (("POST", "/", body),)


HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"
_ODD = bytes(range(1, 9)) + bytes(range(0x0E, 0x20)) + b' "(),/;<=>?@[]{}'

CASES = {
    "size with an underscore": Case(chunked(b"0_2e\r\n\r\n" + HIDDEN + b"0\r\n\r\n")),
    "NUL and CR in a value": Case(get(b"A: v\0\ralue\r\n")),
    "blank behind a length's name": Case(post(b"Content-Length : 33\r\n", HIDDEN)),
    "tab before the first name": Case(b"GET / HTTP/1.1\r\n\tContent-Length: 1\r\n\r\nX"),
    "HTTP/1.32": Case(b"GET / HTTP/1.32\r\nHost: a\r\n\r\n"),
    "method with brackets": Case(b'G=":<>(e),[T];?" /get HTTP/1.1\r\nHost: a\r\n\r\n'),
    "target !": Case(b"GET ! HTTP/1.1\r\nHost: a\r\n\r\n"),
    "name with a high byte": Case(get(b"\xefoo: bar\r\n")),
    "LF in the request line": Case(b"GET /\nHTTP/1.1\r\nHost: a\r\n\r\n"),
    "length +1_0": Case(post(b"Content-Length: +1_0\r\n", b"0123456789")),
    "coding between A0": Case(post(b"Transfer-Encoding: \xa0chunked\xa0\r\n", b"0\r\n\r\n")),
    "coding between FF": Case(post(b"Transfer-Encoding: \xffchunked\xff\r\n", b"1\r\nZ\r\n0\r\n\r\n")),
    "coding between 85": Case(post(b"Transfer-Encoding: \x85chunked\r\n", b"0\r\n\r\n")),
    "CR between fields": Case(get(b"A: b\rB: c\r\n")),
    "name of what is no token": Case(get(_ODD + b": a\r\n")),
    "CR in the version": Case(b"GET / HTTP/\r\r1.1\r\nHost: a\r\n\r\n"),
    "length without digits": Case(post(b"Content-Length: \r\n", HIDDEN)),
    "empty size": Case(chunked(b"\r\n\r\n")),
    "empty name": Case(b"GET / HTTP/1.1\r\n: a\r\nHost: a\r\n\r\n"),
    "LFs before a value": Case(get(b"A:\n\nGET / HTTP/1.1\r\n")),
    "85 behind a name": Case(post(b"Content-Length\x85: 10\r\n", b"0123456789")),
    "comma before chunked, and a length": Case(
        post(b"Transfer-Encoding: ,chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n")
    ),
    "comma before chunked": Case(post(b"Transfer-Encoding: ,chunked\r\n", b"0\r\n\r\n")),
    "lengths 1 and 0": Case(post(b"Content-Length: 1\r\nContent-Length: 0\r\n", b"Z")),
    "lengths 0 and 33": Case(post(b"Content-Length: 0\r\nContent-Length: 33\r\n", HIDDEN)),
    "a version that overflows": Case(b"GET / HTTP/4294967295.255\r\nHost: a\r\n\r\n"),
    "length -48": Case(post(b"Content-Length: -48\r\n", b"")),
    "neither name nor value": Case(b"GET / HTTP/1.1\r\nHost: a\r\n:\r\nA: b\r\n\r\n"),
    "blank for a colon": Case(post(b"Content-Length 10\r\n", b"0123456789")),
    "length 1Z": Case(post(b"Content-Length: 1Z\r\n", b"Z")),
    "CR and another byte for the end": Case(b"GET / HTTP/1.1\r\nHost: a\r\n\rZ" + HIDDEN),
    "CR for the end of a size": Case(chunked(b"5\r\r;ABCD\r\n34\r\nE\r\n0\r\n\r\n" + HIDDEN)),
    "octal length": Case(post(b"Content-Length: 010\r\n", b"0123456789"), posted(b"0123456789"), False),
    "NUL in a value": Case(get(b"A: b\0c\r\nConnection: close\r\n")),
    "CRs in an extension": Case(chunked(b"41;a=b\r\r" + b"X" * 65 + b"\r\n0\r\n\r\n" + HIDDEN + b"0\r\n\r\n")),
    "a name in two lines": Case(post(b"Transfer-\r\nEncoding: chunked\r\nContent-Length: 5\r\n", b"0\r\n\r\n")),
    "any two bytes behind the last chunk": Case(chunked(b"0\r\nX:" + HIDDEN), posted(b""), False),
    "any two bytes behind a chunk": Case(chunked(b"1\r\nZXX0\r\n\r\n")),
    "NUL for a method": Case(b"\0 / HTTP/............0596.7407.\r\nHost: a\r\n\r\n"),
    "85 and A0 around a value": Case(get(b"User: \x85admin\xa0\r\n"), (ROOT,), False),
    "an empty length, and another": Case(post(b"Content-Length: \r\nContent-Length: 33\r\n", HIDDEN)),
    "NUL at the end of a value": Case(get(b"A: b\0\r\n")),
    "coding unknown": Case(post(b"Transfer-Encoding: blegh\r\n", b"1\r\nZ\r\n0\r\n\r\n")),
    "garbage behind the last request": Case(get(b"Connection: close\r\n") + b"Invalid\r\n\r\n", (ROOT,), True),
    "garbage behind a request": Case(get(b"") + b"Invalid\r\n\r\n", (ROOT,), True),
    "no size at all": Case(chunked(b"INVALID!!!\r\n" + HIDDEN)),
    "requests behind a body of no length": Case(
        post(b"Content-Length: 0\r\nConnection:keep-alive\r\n", post(b"Content-Length: 33\r\n", HIDDEN)),
        (("POST", "/", b""), ("POST", "/", HIDDEN)),
        False,
    ),
    "length 0x10": Case(post(b"Content-Length: 0x10\r\n", b"Z")),
    "sizes of Z": Case(chunked(b"Z\r\nZZ\r\nZZZ\r\n\r\n")),
    "CRs before an extension": Case(chunked(b"2\r\r;a\r\n02\r\n41\r\n0\r\n\r\n" + HIDDEN + b"0\r\n\r\n")),
    "CR and LF apart": Case(chunked(b"1\r0\n")),
    "size with more behind it": Case(chunked(b"1never-looked-at\r\nZ\r\n0\r\n\r\n")),
    "Host with a NUL": Case(b"GET / HTTP/1.1\r\nHost: a\0.b\r\n\r\n"),
    "LF behind a chunk": Case(chunked(b"a\r\n0123456789\n0\r\n\r\n")),
    "LF in a name": Case(get(b"Te\nst: test\r\n")),
    "LF only": Case(b"GET / HTTP/1.1\nHost: a\n\n"),
    "a request in a chunk": Case(
        chunked(b"26\r\n0\r\n\r\n" + HIDDEN + b"\r\n0\r\n\r\n"), posted(b"0\r\n\r\n" + HIDDEN), False
    ),
    "size -0x0": Case(chunked(b"-0x0\r\n\r\n")),
    "NUL in a name": Case(get(b"A:b\r\nc\0\r\n")),
    "GET with a body": Case(
        b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 33\r\n\r\n" + HIDDEN, (("GET", "/", HIDDEN),), False
    ),
    "length and chunked": Case(post(b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n")),
    "size behind blanks": Case(chunked(b"           0\r\n\r\n")),
    "chunked twice": Case(post(b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n")),
    "NUL behind a body": Case(chunked(b"0\r\n\r\n\0"), posted(b""), True),
    "size of 16 digits": Case(chunked(b"0000000000000001\r\nZ\r\n0\r\n\r\n")),
    "HTTP/2": Case(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00"),
    "upgrade and a body": Case(
        post(b"Connection: upgrade\r\nUpgrade: a\r\nContent-Length: 33\r\n", HIDDEN), posted(HIDDEN), False
    ),
    "length named by Connection": Case(
        post(b"Connection: content-length\r\nContent-Length: 33\r\n", HIDDEN), posted(HIDDEN), False
    ),
    "coding named by Connection": Case(
        post(b"Connection: transfer-encoding\r\nTransfer-Encoding: chunked\r\n", b"1\r\nZ\r\n0\r\n\r\n"),
        posted(b"Z"),
        False,
    ),
    "Host named by Connection": Case(get(b"Connection: host\r\n"), (ROOT,), False),
    "trailers": Case(chunked(b"1\r\nZ\r\n0\r\nA: b\r\nHost: c\r\n\r\n"), posted(b"Z"), False),
    "underscore for a hyphen": Case(post(b"Content_Length: 5\r\nContent-Length: 3\r\n", b"abc"), posted(b"abc"), False),
    "HTTP/1.0 that stays": Case(
        b"POST / HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 33\r\n\r\n" + HIDDEN, posted(HIDDEN), False
    ),
}
