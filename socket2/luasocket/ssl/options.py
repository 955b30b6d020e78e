"""The names in LuaSec's parameters `protocol`, `options`, `verify`, `verifyext`, and what they are in Python's `ssl`.

A name of OpenSSL that Python has no constant for is known, but cannot be set. Versions of TLS are limits here, not
options: Python warns of those options.
"""

from __future__ import annotations

import ssl

_SINCE_1_2 = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)

PROTOCOLS = {
    "any": _SINCE_1_2,
    "sslv23": _SINCE_1_2,
    "tlsv1": (ssl.TLSVersion.TLSv1,),
    "tlsv1_1": (ssl.TLSVersion.TLSv1_1,),
    "tlsv1_2": (ssl.TLSVersion.TLSv1_2,),
    "tlsv1_3": (ssl.TLSVersion.TLSv1_3,),
}
"""The versions of each protocol. "any" has none that is older than TLS 1.2."""

NO_VERSIONS = {
    "no_sslv2": None,
    "no_sslv3": None,
    "no_tlsv1": ssl.TLSVersion.TLSv1,
    "no_tlsv1_1": ssl.TLSVersion.TLSv1_1,
    "no_tlsv1_2": ssl.TLSVersion.TLSv1_2,
    "no_tlsv1_3": ssl.TLSVersion.TLSv1_3,
}
"""The options that exclude a version. OpenSSL has no SSL 2 and 3 any more."""

# OpenSSL takes these and ignores them, or they concern DTLS.
_WITHOUT_EFFECT = """
ephemeral_rsa microsoft_big_sslv3_buffer microsoft_sess_id_bug msie_sslv2_rsa_padding netscape_ca_dn_bug
netscape_challenge_bug netscape_demo_cipher_change_bug netscape_reuse_cipher_change_bug no_dtls_mask no_dtlsv1
no_dtlsv1_2 pkcs1_check_1 pkcs1_check_2 single_dh_use single_ecdh_use ssleay_080_client_dh_bug
sslref2_reuse_cert_type_bug tls_block_padding_bug tls_d5_bug
"""

_OTHERS = """
all allow_client_renegotiation allow_no_dhe_kex allow_unsafe_legacy_renegotiation cipher_server_preference
cisco_anyconnect cleanse_plaintext cookie_exchange cryptopro_tlsext_bug disable_tlsext_ca_names
dont_insert_empty_fragments enable_ktls enable_middlebox_compat legacy_server_connect
no_anti_replay no_compression no_encrypt_then_mac no_extended_master_secret no_query_mtu no_renegotiation
no_session_resumption_on_renegotiation no_ticket prioritize_chacha safari_ecdhe_ecdsa_bug tls_rollback_bug
tlsext_padding
"""

RAGGED_END = "ignore_unexpected_eof"
"""The option for an end of the stream without a close_notify. The engine does this, not OpenSSL."""

OPTIONS: dict[str, int | None] = {
    **dict.fromkeys((*_WITHOUT_EFFECT.split(), *NO_VERSIONS), 0),
    **{name: getattr(ssl, f"OP_{name.upper()}", None) for name in _OTHERS.split()},
    RAGGED_END: 0,
}
"""The bits of each option; None if Python cannot set it."""

VERIFY = ("none", "peer", "client_once", "fail_if_no_peer_cert")

VERIFY_EXT: dict[str, int | None] = {
    "crl_check": 0x4,  # X509_V_FLAG_CRL_CHECK
    "crl_check_chain": 0x8,  # X509_V_FLAG_CRL_CHECK_ALL
    "lsec_continue": None,
    "lsec_ignore_purpose": None,
}
"""The flags of each option; None if Python cannot set it."""


def limits(protocol: str, names: set[str]) -> tuple[ssl.TLSVersion, ssl.TLSVersion]:
    """Return the oldest and the newest version that remain if the options `names` exclude theirs.

    If none remains, the oldest is newer than the newest, and every handshake fails.
    """
    excluded = {NO_VERSIONS.get(name) for name in names}
    remaining = [version for version in PROTOCOLS[protocol] if version not in excluded]
    return (remaining[0], remaining[-1]) if remaining else (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2)


config: dict[str, dict[str, bool]] = {
    "algorithms": {"ec": True},
    "capabilities": {"alpn": True, "dane": False, "ecdh_auto": True},
    "options": {name: True for name, bits in OPTIONS.items() if bits is not None},
    "protocols": {name: True for name in PROTOCOLS if name.startswith("tls")},
}
"""What there is, as in LuaSec: `config["options"].get("no_ticket")`."""
