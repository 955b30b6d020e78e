"""The name that a client asks for, the protocols that it offers, and the sessions that it resumes."""

from __future__ import annotations

import ssl
import sys
from typing import Any

import pytest

from socket2 import TLS, client_context, newthread, server_context

from ..certificates import Authority
from ..ends import Steps
from .pairs import Contexts, connected, outcome, pair, reason

ALPN = {
    "the client's first": (["a", "b"], ["b", "a"], "b"),
    "the only one in common": (["a", "b"], ["b", "c"], "b"),
    "the server's best": (["c", "b", "a"], ["a", "b"], "a"),
    "none in common": (["a"], ["b"], None),
    "only the client has any": (["a"], [], None),
    "only the server has any": ([], ["a"], None),
    "nobody has any": ([], [], None),
    "long names": (["x" * 255, "h2"], ["x" * 255], "x" * 255),
}


@pytest.mark.parametrize("case", ALPN)
def test_a_protocol_is_agreed_on(authority: Authority, case: str) -> None:
    """CPython test_alpn_protocols, test_selected_alpn_protocol, test_selected_alpn_protocol_if_server_uses_alpn."""
    offered, spoken, agreed = ALPN[case]

    def test(client: TLS, server: TLS) -> Steps:
        assert client.alpn == server.alpn == agreed
        yield from ()

    connected((authority.client(alpn=offered), authority.server(alpn=spoken)), test)


def test_no_protocol_is_known_before_the_handshake(authority: Authority) -> None:
    """Trio test_selected_alpn_protocol_before_handshake, test_selected_alpn_protocol_when_not_set."""
    client, server = pair((authority.client(alpn=["h2"]), authority.server(alpn=["h2"])))
    assert client.alpn is server.alpn is None


@pytest.mark.parametrize("names", [[""], ["x" * 256]], ids=["empty", "too long"])
def test_names_of_protocols_have_a_length(names: list[str]) -> None:
    """CPython test_alpn_protocols. There it is an ssl.SSLError; ours names the argument."""
    with pytest.raises(ValueError, match="^alpn: "):
        client_context(alpn=names)


# The name that a client asks for.


def test_the_server_learns_the_name(contexts: Contexts) -> None:
    """CPython test_sni_callback."""

    def test(client: TLS, server: TLS) -> Steps:
        assert client.server_name == server.server_name == "localhost"
        yield from ()

    connected(contexts, test)


@pytest.mark.parametrize("name", ["127.0.0.1", None])
def test_addresses_are_not_asked_for(contexts: Contexts, name: str | None) -> None:
    """CPython test_sni_callback: the callback gets no name."""
    contexts[0].check_hostname = name is not None

    def test(client: TLS, server: TLS) -> Steps:
        assert server.server_name is None
        yield from ()

    connected(contexts, test, name=name)


def test_each_name_has_its_certificate(authority: Authority) -> None:
    """CPython test_sni_callback."""
    other = server_context(authority.issue("supermessage.example"))
    server = server_context(authority.ours, names={"supermessage.example": other})
    for name in ("supermessage.example", "localhost"):

        def test(client: TLS, server: TLS, name: str = name) -> Steps:
            assert client.peer_certificate
            assert ("DNS", name) in client.peer_certificate["subjectAltName"]
            yield from ()

        connected((authority.client(), server), test, name=name)


@pytest.mark.parametrize(
    "alert",
    [ssl.AlertDescription.ALERT_DESCRIPTION_ACCESS_DENIED, ssl.AlertDescription.ALERT_DESCRIPTION_UNRECOGNIZED_NAME],
)
def test_a_callback_may_refuse_a_name_with_an_alert(contexts: Contexts, alert: ssl.AlertDescription) -> None:
    """CPython test_sni_callback_alert."""
    contexts[1].sni_callback = lambda *_: alert
    ours, theirs = outcome(contexts)
    assert alert.name.removeprefix("ALERT_DESCRIPTION_").lower() in reason(ours)
    assert isinstance(theirs, ssl.SSLError)


@pytest.mark.parametrize(
    ("result", "alert"), [(ZeroDivisionError, "handshake_failure"), ("foo", "internal_error")], ids=["raises", "text"]
)
def test_a_callback_that_fails_ends_the_handshake(contexts: Contexts, result: Any, alert: str) -> None:
    """CPython test_sni_callback_raising, test_sni_callback_wrong_return_type."""

    def choose(*_: Any) -> Any:
        if result is ZeroDivisionError:
            raise ZeroDivisionError
        return result

    contexts[1].sni_callback = choose
    unraisable = []
    hook, sys.unraisablehook = sys.unraisablehook, lambda event: unraisable.append(event.exc_type)
    try:
        ours, theirs = outcome(contexts)
    finally:
        sys.unraisablehook = hook
    assert alert in reason(ours)
    assert isinstance(theirs, ssl.SSLError)
    assert unraisable == [ZeroDivisionError if result is ZeroDivisionError else TypeError]


def test_a_callback_can_be_taken_away(contexts: Contexts) -> None:
    """CPython ContextTests.test_sni_callback."""
    contexts[1].sni_callback = None
    assert outcome(contexts) == (None, None)
    with pytest.raises(TypeError):
        contexts[1].sni_callback = 4  # type: ignore[assignment]


# Sessions.


def resume(contexts: Contexts, session: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession | None]:
    """Connect. Return whether that resumed the session, and the session for the next time."""

    def test(client: TLS, server: TLS) -> Steps:
        assert client.resumed == server.resumed
        finishing = newthread(client.finish())  # OpenSSL forgets the session of a connection that is cut off
        yield from server.finish()
        yield from finishing.join()
        return client.resumed, client.session

    result: tuple[bool, ssl.SSLSession | None] = connected(contexts, test, session=session)
    return result


def test_a_session_is_resumed(contexts: Contexts) -> None:
    """CPython test_session."""
    resumed, session = resume(contexts, None)
    assert not resumed
    assert session is not None
    assert session.has_ticket
    assert session.timeout > 0
    assert session.ticket_lifetime_hint > 0
    resumed, again = resume(contexts, session)
    assert resumed
    assert again is not None
    assert again.time >= session.time


def test_the_server_counts_its_sessions(contexts: Contexts) -> None:
    """CPython test_session, test_session_stats."""
    _, session = resume(contexts, None)
    resume(contexts, session)
    stats = contexts[1].session_stats()
    assert (stats["accept"], stats["hits"]) == (2, 1)


def test_a_session_belongs_to_its_context(contexts: Contexts, authority: Authority) -> None:
    """CPython test_session_handling."""
    _, session = resume(contexts, None)
    with pytest.raises(ValueError, match="SSLContext"):
        resume((authority.client(), contexts[1]), session)


def test_a_session_is_one(contexts: Contexts) -> None:
    """CPython test_session_handling."""
    with pytest.raises(TypeError, match="SSLSession"):
        resume(contexts, object())  # type: ignore[arg-type]


def test_another_server_does_not_know_the_session(contexts: Contexts, authority: Authority) -> None:
    """CPython test_session: then there is a full handshake."""
    _, session = resume(contexts, None)
    other = authority.server()
    assert resume((contexts[0], other), session)[0] is False


@pytest.mark.parametrize("tickets", [0, 1, 2, 10])
def test_a_server_gives_as_many_tickets_as_it_is_told(authority: Authority, tickets: int) -> None:
    """CPython test_num_tickest."""
    client, server = authority.client("TLSv1.3"), authority.server("TLSv1.3")
    server.num_tickets = tickets
    resumed, session = resume((client, server), None)
    assert not resumed
    assert (session is not None and session.has_ticket) == (tickets > 0)
    with pytest.raises(ValueError, match="value"):
        server.num_tickets = -1


def test_without_tickets_a_session_of_tls_1_2_is_resumed_by_its_number(authority: Authority) -> None:
    """CPython test_session."""
    client, server = authority.client("TLSv1.2"), authority.server("TLSv1.2")
    server.options |= ssl.OP_NO_TICKET
    _, session = resume((client, server), None)
    assert session is not None
    assert not session.has_ticket
    assert session.id
    assert resume((client, server), session)[0]
