"""The arguments of LuaSec's functions, and certificates."""

from __future__ import annotations

import ssl as std
import sys
from typing import Any

import pytest

from socket2 import luasocket, server_context
from socket2.luasocket import ssl

from ..interop.peers import run
from ..tls.certificates import Authority
from .ciphered import both, params, serving, shaken
from .face import Pair


def _results(made: Any) -> tuple[Any, ...]:
    """Return the results of a call that a script has made."""
    assert isinstance(made, tuple)
    return made


def test_wrap_refuses_bytes_that_came_before(pair: Pair, authority: Authority) -> None:
    pair.peer.sendall(b"220 ready\r\ninjected")
    assert _results(pair.client.receive()) == (b"220 ready", None, None)
    fd = pair.client.getfd()
    assert ssl.wrap(pair.client, params(authority)) == (None, "bytes came in plain text before TLS could begin")
    assert pair.client.getfd() == fd


def test_wrap_refuses_what_is_no_context(pair: Pair) -> None:
    with pytest.raises(TypeError, match="context or parameters expected, got NoneType"):
        ssl.wrap(pair.client, None)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"options": 5}, "parameter 'options': string or list expected, got int"),
        ({"verify": 5}, "parameter 'verify': string or list expected, got int"),
        ({"options": [5]}, "parameter 'options': string expected, got int"),
        ({"certificates": 5}, "parameter 'certificates': list expected, got int"),
        ({"certificates": [5]}, "parameter 'certificates': dict expected, got int"),
        (None, "parameters: dict expected, got NoneType"),
    ],
    ids=str,
)
def test_parameters_of_the_wrong_type(authority: Authority, wrong: Any, message: str) -> None:
    with pytest.raises(TypeError, match=f"^{message}$"):
        ssl.newcontext(None if wrong is None else {**params(authority), **wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"alpn": ["\u00e9"]}, "invalid ALPN name (not ASCII)"),
        ({"verifyy": "peer"}, "parameter not supported (verifyy)"),
        ({"certificates": [{"cert": "a.pem"}]}, "parameter not supported (cert)"),
    ],
    ids=str,
)
def test_parameters_that_are_refused(authority: Authority, wrong: Any, message: str) -> None:
    assert ssl.newcontext({**params(authority), **wrong}) == (None, message)


def test_wrap_takes_a_server_context_that_chooses_by_name(authority: Authority) -> None:
    context = server_context(authority.ours, names={"a.example": server_context(authority.issue("a.example"))})

    async def main() -> None:
        with both(authority) as (client, other):
            under = luasocket.unix()
            fd = other.getfd()
            other.setfd(-1)
            under.setfd(fd)
            server, _ = ssl.wrap(under, context)
            assert server is not None
            with server:
                with pytest.raises(ValueError, match="by the name itself"):
                    server.sni({})
                client.sni("a.example")
                await shaken(client, server)
                assert server.getsniname() == "a.example"
                certificate, _ = client.getpeercertificate()
                assert certificate is not None
                assert certificate.extensions()["2.5.29.17"]["dNSName"] == ["a.example"]
                with pytest.raises(ValueError, match="invalid SSL object state"):
                    server.setfd(-1)

    run(main)


def test_sni_checks_its_arguments(authority: Authority) -> None:
    with both(authority) as (client, server):
        with pytest.raises(TypeError, match="string expected"):
            client.sni({})
        with pytest.raises(TypeError, match="dict expected"):
            server.sni("name")
        with pytest.raises(TypeError, match="name and context expected"):
            server.sni({"name": "context"})  # type: ignore[dict-item]


def test_what_python_cannot_set_is_refused(authority: Authority) -> None:
    for more, err in (
        ({"depth": 3}, "verification depth not supported"),
        ({"dane": True}, "DANE not supported"),
        ({"curveslist": "P-256:P-384"}, "list of elliptic curves not supported"),
        ({"verifyext": "lsec_continue"}, "verify option not supported (lsec_continue)"),
        ({"options": ["no_ticket", "cookie_exchange"]}, "option not supported (cookie_exchange)"),
    ):
        assert ssl.newcontext(params(authority, **more)) == (None, err)
    assert ssl.newcontext(serving(authority, alpn=lambda names: "h2")) == (None, "ALPN function not supported")
    if not hasattr(std.SSLContext, "set_ciphersuites"):
        refused = ssl.newcontext(params(authority, ciphersuites="TLS_AES_128_GCM_SHA256"))
        assert refused == (None, "ciphersuites not supported")


def test_required_parameters() -> None:
    for missing in ({"mode": "client"}, {"protocol": "any"}):
        with pytest.raises(TypeError, match="string expected, got NoneType"):
            ssl.newcontext(missing)


def test_options_are_those_of_the_context(authority: Authority) -> None:
    context, _ = ssl.newcontext(serving(authority, options=["no_ticket", "no_tlsv1_3", "all"]))
    assert context is not None
    assert context.sslcontext.options & std.OP_NO_TICKET
    assert context.sslcontext.maximum_version == std.TLSVersion.TLSv1_2
    assert not context.sslcontext.options & std.OP_CIPHER_SERVER_PREFERENCE
    assert ssl.config["options"]["no_ticket"]


def test_a_certificate_is_read_without_cryptography_as_far_as_possible(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = authority.file.read_text()
    certificate = ssl.loadcertificate(text)
    assert certificate is not None
    monkeypatch.setitem(sys.modules, "cryptography", None)
    assert certificate.pem() == text
    assert certificate.digest("md5") == (None, "digest algorithm not supported (md5)")
    with pytest.raises(ImportError, match="needs the package cryptography"):
        certificate.subject()


def test_text_that_is_no_certificate() -> None:
    for text in ("", "x", b"\xff", std.DER_cert_to_PEM_cert(b"no certificate")):
        assert ssl.loadcertificate(text) is None
