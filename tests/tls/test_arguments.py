"""Arguments of TLS that cannot work are refused in the call, before anything is connected or bound."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from socket2 import (
    TLS,
    Server,
    client_context,
    connect,
    listen,
    newthread,
    serve,
    server_context,
    starttls,
    stream,
)

from ..memory import memory_pair
from .certificates import Authority
from .ends import Steps, limited
from .hosting import serve_one

BAD_NAMES = [".", ".a", "a..b", "a" * 64, "a\0b", "https://a.example/", "a b", "a.example:443", "\u00fc" * 64]


def nothing(conn: TLS) -> None:
    raise AssertionError(conn)


def clients(authority: Authority) -> list[Callable[..., Any]]:
    """All that can begin the client's side of TLS."""
    below = memory_pair()[0]
    return [
        partial(connect, "127.0.0.1:1"),
        partial(starttls, stream(below)),
        partial(starttls, below),
        partial(TLS, below),
    ]


def servers(authority: Authority) -> list[Callable[..., Any]]:
    below = memory_pair()[0]
    return [
        partial(listen, "127.0.0.1:0"),
        partial(Server, nothing),
        partial(serve, nothing, "127.0.0.1:0"),
        partial(starttls, stream(below), server_side=True),
        partial(TLS, below, server_side=True),
    ]


def with_context(make: Callable[..., Any], context: Any, **options: Any) -> Any:
    """Call what takes a context as its argument `tls` or `context`."""
    func = make.func  # type: ignore[attr-defined]
    return make(**{"context" if func in (starttls, TLS) else "tls": context}, **options)


@pytest.mark.filterwarnings("ignore:ssl.PROTOCOL_TLS is deprecated")
def test_a_context_for_the_other_side(authority: Authority) -> None:
    """It would fail at each handshake, and a server would only log that."""
    for make in servers(authority):
        with pytest.raises(ValueError, match="this context is for clients"):
            with_context(make, authority.client())
    for make in clients(authority):
        with pytest.raises(ValueError, match="this context is for servers"):
            with_context(make, authority.server(), server_hostname="localhost")
    both = ssl.SSLContext(ssl.PROTOCOL_TLS)
    TLS(memory_pair()[0], both)
    TLS(memory_pair()[0], both, server_side=True)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"server_hostname": 5}, TypeError),
        ({"server_hostname": b"localhost"}, TypeError),
        ({"server_hostname": ""}, ValueError),
        *(({"server_hostname": name}, ValueError) for name in BAD_NAMES),
        ({"server_hostname": "localhost", "session": "none"}, TypeError),
        ({"server_hostname": "localhost", "session": b"x"}, TypeError),
        ({"server_hostname": "localhost", "handshake_s": -1}, ValueError),
        ({"server_hostname": "localhost", "handshake_s": "1"}, TypeError),
    ],
    ids=str,
)
def test_clients(authority: Authority, options: dict[str, Any], error: type[Exception]) -> None:
    for make in clients(authority):
        with pytest.raises(error, match="session" if "session" in options else "server_hostname|seconds"):
            with_context(make, authority.client(), **options)


def test_what_only_clients_have(authority: Authority) -> None:
    below = memory_pair()[0]
    for make in partial(starttls, stream(below)), partial(starttls, below), partial(TLS, below):
        for options in {"server_hostname": "localhost"}, {"session": b"x"}:
            with pytest.raises(TypeError, match=f"{next(iter(options))} is for clients"):
                make(context=authority.server(), server_side=True, **options)


@pytest.mark.parametrize("name", ["a_b.example", "127.0.0.1", "::1", "a" * 63 + ".example", "b\u00fccher.example"])
def test_names_of_servers(authority: Authority, name: str) -> None:
    TLS(memory_pair()[0], authority.client(), server_hostname=name)


def test_a_limit_for_handshakes(authority: Authority) -> None:
    for make in servers(authority):
        with pytest.raises(ValueError, match="-1"):
            with_context(make, authority.server(), handshake_s=-1)
    for plain in partial(listen, "127.0.0.1:0"), partial(connect, "127.0.0.1:1"), partial(Server, nothing):
        with pytest.raises(ValueError, match="-1"):
            plain(handshake_s=-1)
    for of_server in servers(authority)[1:3]:
        with pytest.raises(TypeError, match="max_handshakes needs tls"):
            of_server(max_handshakes=1)
        with pytest.raises(TypeError, match="max_handshakes must be a number, not True"):
            with_context(of_server, authority.server(), max_handshakes=True)


def test_contexts(authority: Authority) -> None:
    wrong: list[tuple[Any, list[Any], dict[str, Any]]] = [
        (server_context, [None], {}),
        (server_context, [bytes(authority.ours)], {}),
        (server_context, [authority.ours, bytes(authority.ours)], {}),
        (server_context, [authority.ours], {"client_ca": 5}),
        (server_context, [authority.ours], {"keylog": 5}),
        (client_context, [], {"ca": authority.file.read_bytes()}),
        (client_context, [], {"certificate": 5}),
        (client_context, [], {"certificate": authority.ours, "key": 5}),
        (client_context, [], {"keylog": b"log"}),
    ]
    for make, args, options in wrong:
        with pytest.raises(TypeError, match="must be a path, not"):
            make(*args, **options)
    with pytest.raises(ValueError, match="ca must be a path, not an empty text"):
        client_context(ca="")
    with pytest.raises(ValueError, match="client_ca must be a path, not an empty text"):
        server_context(authority.ours, client_ca="")
    with pytest.raises(ValueError, match="is a context for clients"):
        server_context(authority.ours, client_ca=authority.file, names={"a.example": authority.client()})


def test_text_in_place_of_a_file(authority: Authority) -> None:
    """It may be a key, so it is not in the message."""
    text = authority.file.read_text()
    kinds: list[tuple[Any, type[Exception]]] = [(text, ValueError), (text.encode(), TypeError)]
    makers: dict[str, Callable[..., Any]] = {"ca": client_context, "client_ca": partial(server_context, authority.ours)}
    for wrong, error in kinds:
        for name, make in makers.items():
            with pytest.raises(error, match=f"^{name} must be a path, not text in PEM; .*cadata") as caught:
                make(**{name: wrong})
            assert "BEGIN" not in str(caught.value)
    with pytest.raises(ValueError, match="^certificate must be a path, not text in PEM$"):
        server_context(text)


def test_a_password_without_a_certificate() -> None:
    with pytest.raises(TypeError, match="password .* needs a certificate"):
        client_context(password="secret")


@pytest.mark.parametrize("kind", ["optional", "required"])
def test_a_certificate_of_clients_without_an_authority(authority: Authority, kind: Any) -> None:
    """It would have no effect."""
    with pytest.raises(ValueError, match="needs client_ca"):
        server_context(authority.ours, client_certificate=kind)
    verify_mode = server_context(authority.ours, client_ca=authority.file, client_certificate=kind).verify_mode
    assert verify_mode == (ssl.CERT_OPTIONAL if kind == "optional" else ssl.CERT_REQUIRED)


def test_a_dot_at_the_end_of_a_name(authority: Authority) -> None:
    """It belongs to the name in DNS, but neither to the one in a certificate nor to the one that is asked for."""

    def main() -> Steps:
        with listen("127.0.0.1:0", tls=authority.server()) as listener:
            serving = newthread(serve_one, listener)
            where = listener.getsockname()
            with (yield from connect(where, tls=authority.client(), server_hostname="localhost.")) as conn:
                assert (yield from stream(conn).recvall()) == b"data"
                assert conn.server_name == "localhost"
            assert (yield from serving.join()).server_name == "localhost"

    limited(main)


@pytest.mark.parametrize("alpn", [[b"h2"], [5], 5, None, "h2", b"h2"])
def test_protocols_that_are_no_texts(authority: Authority, alpn: Any) -> None:
    with pytest.raises(TypeError, match="^alpn"):
        client_context(alpn=alpn)
    with pytest.raises(TypeError, match="^alpn"):
        server_context(authority.ours, alpn=alpn)


@pytest.mark.parametrize("name", ["", "x" * 256, "\u00e9"])
def test_protocols_that_cannot_be(authority: Authority, name: str) -> None:
    with pytest.raises(ValueError, match="alpn: the name of a protocol has 1 to 255"):
        client_context(alpn=["h2", name])
    with pytest.raises(ValueError, match="alpn: the name of a protocol has 1 to 255"):
        server_context(authority.ours, alpn=["h2", name])


@pytest.mark.parametrize("name", ["", ".", "a.example:443", "https://a.example/", "127.0.0.1", "::1", "a b"])
def test_names_that_no_client_asks_for(authority: Authority, name: str) -> None:
    with pytest.raises(ValueError, match="matches no name"):
        server_context(authority.ours, names={name: server_context(authority.ours)})


@pytest.mark.parametrize("pattern", ["b\u00fccher.example", "XN--BCHER-KVA.example.", "*.b\u00fccher.example"])
def test_names_beyond_ascii(authority: Authority, pattern: str) -> None:
    asked = "a.b\u00fccher.example" if pattern.startswith("*") else "b\u00fccher.example"
    chosen = server_context(authority.issue("a.xn--bcher-kva.example", "xn--bcher-kva.example"))

    def main() -> Steps:
        with listen("127.0.0.1:0", tls=server_context(authority.ours, names={pattern: chosen})) as listener:
            serving = newthread(serve_one, listener)
            where = listener.getsockname()
            with (yield from connect(where, tls=authority.client(), server_hostname=asked)) as conn:
                assert (yield from stream(conn).recvall()) == b"data"
            yield from serving.join()

    limited(main)


def test_a_name_that_cannot_be_in_ascii(authority: Authority) -> None:
    with pytest.raises(ValueError, match="^names: .* is not a valid host name"):
        server_context(authority.ours, names={"\u00fc" * 64: server_context(authority.ours)})


@pytest.mark.parametrize("other", ["A.example", "a.example.", "\uff41.example"])
def test_two_spellings_of_one_name(authority: Authority, other: str) -> None:
    names = dict.fromkeys(["a.example", other], server_context(authority.ours))
    with pytest.raises(ValueError, match="names: 'a.example' and .* are the same name"):
        server_context(authority.ours, names=names)


@pytest.mark.parametrize("names", [["a.example"], {b"a.example": None}, "a.example"])
def test_names_that_are_no_texts(authority: Authority, names: Any) -> None:
    if isinstance(names, dict):
        names = dict.fromkeys(names, server_context(authority.ours))
    with pytest.raises(TypeError, match="^names"):
        server_context(authority.ours, names=names)
