"""A session is resumed only with a server whose certificate is for the name that is asked for."""

from __future__ import annotations

import ssl
from contextlib import suppress
from typing import Any

import pytest

from socket2 import TLS, newthread
from socket2.tls.identity import is_for

from ..memory import memory_pair
from .certificates import Authority, versions
from .ends import Steps, limited


@pytest.mark.parametrize(
    ("names", "name", "expected"),
    [
        (["a.example"], "a.example", True),
        (["a.example"], "A.Example", True),
        (["a.example", "b.example"], "b.example", True),
        (["a.example"], "x.a.example", False),
        (["*.b.example"], "x.b.example", True),
        (["*.b.example"], "b.example", False),
        (["*.b.example"], ".b.example", False),
        (["*.b.example"], "y.x.b.example", False),
        (["x*.b.example"], "xy.b.example", False),
        (["192.0.2.1"], "192.0.2.1", False),
        ([], "a.example", False),
    ],
)
def test_names(names: list[str], name: str, expected: bool) -> None:
    certificate = {"subject": (), "subjectAltName": tuple(("DNS", one) for one in names)}
    assert is_for(certificate, name) is expected


def test_addresses() -> None:
    certificate = {"subjectAltName": (("IP Address", "192.0.2.1"), ("IP Address", "2001:DB8:0:0:0:0:0:1"))}
    assert is_for(certificate, "192.0.2.1")
    assert is_for(certificate, "2001:db8::1")
    assert not is_for(certificate, "192.0.2.2")
    assert not is_for(certificate, "a.example")


def test_the_common_name_counts_if_there_is_no_other() -> None:
    subject = ((("organizationName", "b.example"),), (("commonName", "a.example"),))
    assert is_for({"subject": subject}, "a.example")
    assert not is_for({"subject": subject}, "b.example")
    assert not is_for({"subject": subject, "subjectAltName": (("DNS", "c.example"),)}, "a.example")


@versions
def test_a_session_for_another_name_is_refused(authority: Authority, version: str) -> None:
    """OpenSSL checks no name when it resumes a session."""
    serving = authority.server(version)
    serving.load_cert_chain(authority.issue("*.b.example"))
    asking = authority.client(version)

    def visit(name: str, session: ssl.SSLSession | None) -> Steps:
        one, other = memory_pair()
        server = TLS(other, serving, server_side=True)
        with TLS(one, asking, server_hostname=name, session=session) as client, server:
            sending = newthread(server.sendall(b"the session comes with this"))
            try:
                yield from client.recv()
                return client.resumed, client.session
            finally:
                client.close()
                with suppress(OSError):
                    yield from sending.join()

    def main() -> Steps:
        resumed, session = yield from visit("x.b.example", None)
        assert not resumed
        again: Any = yield from visit("y.b.example", session)
        assert again[0]
        for given in None, session:
            with pytest.raises(ssl.SSLCertVerificationError, match="mismatch|not for 'bank.example'"):
                yield from visit("bank.example", given)

    limited(main)
