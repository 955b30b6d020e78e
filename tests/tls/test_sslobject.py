"""The ssl.SSLObject of an engine: it is freed after the handshake, and made again for those who ask for it."""

from __future__ import annotations

import gc
import ssl
import weakref

from .certificates import Authority
from .engines import established, pair, send, shake


def sslobjects_after_handshake(authority: Authority, version: str) -> tuple[bool, bool]:
    """Return whether the SSLObjects of a client and a server are still there."""
    client, server = pair(authority, version)
    left = [weakref.ref(client.ssl_object), weakref.ref(server.ssl_object)]
    shake(client, server)
    gc.collect()
    return left[0]() is not None, left[1]() is not None


def test_it_is_freed_after_a_handshake_of_tls_1_3(authority: Authority) -> None:
    assert sslobjects_after_handshake(authority, "TLSv1.3") == (False, False)


def test_tls_1_2_keeps_it_for_a_renegotiation(authority: Authority) -> None:
    assert sslobjects_after_handshake(authority, "TLSv1.2") == (True, True)


def test_one_that_is_made_again_is_the_same_connection(authority: Authority) -> None:
    client, server = established(authority, "TLSv1.3")
    assert type(server.ssl_object) is ssl.SSLObject
    assert server.ssl_object is server.ssl_object
    assert server.ssl_object.version() == "TLSv1.3"
    assert server.ssl_object.cipher() == client.ssl_object.cipher()
    assert client.ssl_object.server_hostname == "localhost"
    assert client.ssl_object.getpeercert()
    assert server.ssl_object.server_name == "localhost"  # type: ignore[attr-defined]
    send(client, server, b"data")
    assert server.receive(10) == b"data"


def test_what_the_program_has_noted_there_stays(authority: Authority) -> None:
    client, server = pair(authority, "TLSv1.3")
    server.ssl_object.note = "a note"  # type: ignore[attr-defined]
    shake(client, server)
    client.ssl_object.note = "another"  # type: ignore[attr-defined]
    gc.collect()
    assert server.ssl_object.note == "a note"  # type: ignore[attr-defined]
    assert client.ssl_object.note == "another"  # type: ignore[attr-defined]


class OwnObject(ssl.SSLObject):
    """What a context makes that was told so."""


def test_one_of_the_contexts_own_class_stays(authority: Authority) -> None:
    client, server = pair(authority, "TLSv1.3")
    context = authority.client("TLSv1.3")
    context.sslobject_class = OwnObject
    client = type(client)(context, server_hostname="localhost")
    shake(client, server)
    assert type(client.ssl_object) is OwnObject


def test_a_callback_for_messages_gets_it_with_each(authority: Authority) -> None:
    client, server = pair(authority, "TLSv1.3")
    told: list[object] = []
    context = authority.client("TLSv1.3")
    context._msg_callback = lambda conn, *message: told.append(conn)  # type: ignore[attr-defined]
    client = type(client)(context, server_hostname="localhost")
    shake(client, server)
    told.clear()
    send(client, server, b"data")
    send(server, client, b"answer")
    assert client.receive(10) == b"answer"
    assert told
    assert {type(conn) for conn in told} == {ssl.SSLObject}
