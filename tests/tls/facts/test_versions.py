"""Which versions, ciphers and curves a client and a server agree on."""

from __future__ import annotations

import ssl

import pytest

from socket2 import TLS, client_context, server_context

from ...memory import memory_pair
from ..certificates import Authority
from ..ends import Steps
from .pairs import Contexts, connected, outcome, pair, reason

V2, V3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3

AGREED = {
    "both speak all": ((V2, V3), (V2, V3), "TLSv1.3"),
    "an old client": ((V2, V2), (V2, V3), "TLSv1.2"),
    "an old server": ((V2, V3), (V2, V2), "TLSv1.2"),
    "a new client": ((V3, V3), (V2, V3), "TLSv1.3"),
    "a new server": ((V2, V3), (V3, V3), "TLSv1.3"),
    "both old": ((V2, V2), (V2, V2), "TLSv1.2"),
    "both new": ((V3, V3), (V3, V3), "TLSv1.3"),
}

Range = tuple[ssl.TLSVersion, ssl.TLSVersion]


def limit(authority: Authority, client: Range, server: Range) -> Contexts:
    made = authority.client(), authority.server()
    for context, (lowest, highest) in zip(made, (client, server), strict=True):
        context.minimum_version, context.maximum_version = lowest, highest
    return made


@pytest.mark.parametrize("case", AGREED)
def test_the_highest_version_of_both_is_taken(authority: Authority, case: str) -> None:
    """CPython test_PROTOCOL_TLS, test_protocol_tlsv1_2, test_tls1_3, test_min_max_version_tlsv1_2."""
    client, server, agreed = AGREED[case]

    def test(client: TLS, server: TLS) -> Steps:
        assert client.version == server.version == agreed
        yield from ()

    connected(limit(authority, client, server), test)


@pytest.mark.parametrize(("client", "server"), [(V2, V3), (V3, V2)], ids=["old client", "old server"])
def test_versions_that_do_not_meet_are_told_to_both(
    authority: Authority, client: ssl.TLSVersion, server: ssl.TLSVersion
) -> None:
    """CPython test_min_max_version_mismatch."""
    ours, theirs = outcome(limit(authority, (client, client), (server, server)))
    assert "protocol" in reason(ours)
    assert "protocol" in reason(theirs)


@pytest.mark.parametrize("version", ["SSLv3", "TLSv1", "TLSv1_1"])
def test_versions_that_are_not_safe_any_more_are_not_spoken(authority: Authority, version: str) -> None:
    """CPython test_protocol_sslv3, test_protocol_tlsv1, test_protocol_tlsv1_1, test_min_max_version_tlsv1_1."""
    for context in (authority.client(), authority.server()):
        assert context.minimum_version > ssl.TLSVersion[version]


@pytest.mark.parametrize("lowest", [V2, V3])
def test_the_limits_of_a_context_can_be_moved_and_read(lowest: ssl.TLSVersion) -> None:
    """CPython test_min_max_version."""
    context = client_context()
    assert context.minimum_version == V2
    assert context.maximum_version == ssl.TLSVersion.MAXIMUM_SUPPORTED
    context.minimum_version = lowest
    assert context.minimum_version == lowest


def test_the_version_is_none_before_the_handshake_and_known_after_it(contexts: Contexts) -> None:
    """CPython test_version_basic."""
    early, late = pair(contexts)
    assert early.version is late.version is None

    def test(client: TLS, server: TLS) -> Steps:
        assert client.version == server.version == contexts[0].maximum_version.name.replace("_", ".")
        yield from ()

    connected(contexts, test)


# Ciphers.


def test_both_sides_name_the_same_cipher(contexts: Contexts) -> None:
    """CPython test_echo, test_tls1_3."""

    def test(client: TLS, server: TLS) -> Steps:
        assert client.cipher
        assert client.cipher == server.cipher
        yield from ()

    connected(contexts, test)


@pytest.mark.parametrize(
    "suite", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"]
)
def test_the_cipher_of_the_client_is_taken(authority: Authority, suite: str) -> None:
    """CPython SimpleBackgroundTests.test_ciphers."""
    client, server = authority.client("TLSv1.2"), authority.server("TLSv1.2")
    client.set_ciphers(suite)

    def test(client: TLS, server: TLS) -> Steps:
        assert client.cipher == server.cipher == suite
        yield from ()

    connected((client, server), test)


def test_without_a_cipher_in_common_both_are_told(authority: Authority) -> None:
    """CPython test_no_shared_ciphers."""
    client, server = authority.client("TLSv1.2"), authority.server("TLSv1.2")
    client.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    server.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")
    ours, theirs = outcome((client, server))
    assert "handshake_failure" in reason(ours)
    assert reason(theirs) == "no_shared_cipher"


def test_the_ciphers_in_common_are_known_to_the_server(authority: Authority) -> None:
    """CPython test_shared_ciphers."""
    client, server = authority.client("TLSv1.2"), authority.server("TLSv1.2")
    client.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384")
    server.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384")

    def test(client: TLS, server: TLS) -> Steps:
        shared = server.ssl_object.shared_ciphers()
        assert shared
        assert "ECDHE-ECDSA-AES256-GCM-SHA384" in {name for name, _, _ in shared}
        assert client.ssl_object.shared_ciphers() is None
        yield from ()

    connected((client, server), test)


@pytest.mark.parametrize("weak", ["NULL", "EXPORT", "RC4", "MD5", "3DES", "aNULL"])
def test_no_weak_cipher_is_offered(weak: str) -> None:
    """CPython test_python_ciphers, test_get_ciphers."""
    names = {suite["name"] for suite in client_context().get_ciphers()}
    assert names
    assert not {name for name in names if weak in name or "ADH" in name}


def test_a_cipher_that_does_not_exist_is_an_error() -> None:
    """CPython ContextTests.test_ciphers."""
    with pytest.raises(ssl.SSLError, match="[Nn]o cipher"):
        client_context().set_ciphers("^$:,;?*'dorothyx")


# Key exchange and settings.


@pytest.mark.parametrize("curve", ["prime256v1", "secp384r1"])
def test_the_curve_of_the_server_is_taken(contexts: Contexts, curve: str) -> None:
    """CPython test_ecdh_curve, test_default_ecdh_curve."""
    contexts[1].set_ecdh_curve(curve)
    assert outcome(contexts) == (None, None)


def test_without_a_curve_in_common_there_is_no_handshake(authority: Authority) -> None:
    """CPython test_ecdh_curve."""
    client, server = authority.client("TLSv1.3"), authority.server("TLSv1.3")
    client.set_ecdh_curve("prime256v1")
    server.set_ecdh_curve("secp521r1")
    ours, theirs = outcome((client, server))
    assert "handshake_failure" in reason(ours)
    assert isinstance(theirs, ssl.SSLError)


def test_nothing_is_compressed(contexts: Contexts) -> None:
    """CPython test_compression, test_compression_disabled."""

    def test(client: TLS, server: TLS) -> Steps:
        assert client.ssl_object.compression() is server.ssl_object.compression() is None
        yield from ()

    connected(contexts, test)


@pytest.mark.parametrize("option", ["OP_NO_COMPRESSION", "OP_NO_SSLv3"])
def test_settings_that_are_always_made(authority: Authority, option: str) -> None:
    """CPython test_options."""
    for context in (authority.client(), authority.server()):
        assert context.options & getattr(ssl, option)


def test_a_context_of_one_side_is_refused_on_the_other(authority: Authority) -> None:
    """CPython test_context_client_server, test_server_side."""
    one, other = memory_pair()
    with pytest.raises(ValueError, match="for servers"):
        TLS(one, authority.server())
    with pytest.raises(ValueError, match="for clients"):
        TLS(other, authority.client(), server_side=True)


def test_the_binding_of_a_channel_is_the_same_on_both_sides(authority: Authority) -> None:
    """CPython test_tls_unique_channel_binding; trio test_get_channel_binding_after_handshake."""
    seen = []

    def test(client: TLS, server: TLS) -> Steps:
        ours = client.ssl_object.get_channel_binding("tls-unique")
        assert ours
        assert ours == server.ssl_object.get_channel_binding("tls-unique")
        seen.append(ours)
        yield from ()

    for _ in range(2):
        connected((authority.client("TLSv1.2"), authority.server("TLSv1.2")), test)
    assert seen[0] != seen[1]


def test_there_is_no_binding_before_the_handshake(contexts: Contexts) -> None:
    """CPython BasicSocketTests.test_tls_unique_channel_binding; trio test_get_channel_binding_before_handshake."""
    client, _ = pair(contexts)
    assert client.ssl_object.get_channel_binding("tls-unique") is None
    with pytest.raises(ValueError, match="channel binding"):
        client.ssl_object.get_channel_binding("unknown")


def test_a_subclass_of_a_context_is_taken(authority: Authority) -> None:
    """CPython test_context_custom_class."""

    class Own(ssl.SSLContext):
        pass

    own = Own(ssl.PROTOCOL_TLS_CLIENT)
    own.load_verify_locations(authority.file)
    assert outcome((own, authority.server())) == (None, None)


def test_a_server_context_without_a_certificate_has_nothing_to_show(authority: Authority) -> None:
    """CPython test_echo: the client meets a server that has no certificate."""
    ours, theirs = outcome((authority.client(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)))
    assert "handshake_failure" in reason(ours)
    assert isinstance(theirs, ssl.SSLError)
    with pytest.raises(FileNotFoundError):
        server_context(authority.folder / "nothing.pem")
