"""Scenarios of handshakes, those that succeed and those that fail, and what a connection says of itself."""

from __future__ import annotations

from typing import Any

from .parties import Ref
from .scene import Scene, Trace, alike, received

# What a connection says of itself.


@alike
def told_of_a_connection(scene: Scene) -> Trace:
    yield from scene.established()
    for party, name in scene.sides:
        for method in ("getalpn", "getpeerverification", "dirty", "want", "dohandshake"):
            yield method, party.call(name, method)
        yield {field: value for field, value in party.call(name, "info")[0].items() if field != "export"}
        for field in ("protocol", "cipher", "bits", "key", "authentication", "encryption", "mac", "compression"):
            yield field, party.call(name, "info", field)
        yield party.call(name, "getfd")[0] >= 0
        yield len((party.call(name, "getpeerchain") or [[]])[0]) if name == "c" else None
    yield scene.client.call("c", "getfinished") == scene.server.call("s", "getpeerfinished")
    yield scene.client.call("c", "getpeercertificate", 0)
    yield scene.client.call("c", "getpeercertificate", 9)
    yield scene.server.call("s", "getpeercertificate")


@alike
def told_of_a_certificate(scene: Scene) -> Trace:
    yield from scene.established()
    client = scene.client
    client.call("c", "getpeercertificate", keep="cert")
    for method in ("subject", "issuer", "extensions", "serial", "notbefore", "notafter", "pem", "pubkey", "digest"):
        yield method, client.call("cert", method)
    yield client.call("cert", "getsignaturename")
    for algorithm in ("sha1", "sha256", "sha512", "md5"):
        yield algorithm, client.call("cert", "digest", algorithm)
    for time in (0, 946684799, 946684800, 1800000000, 32503680000, 32503680001):
        yield time, client.call("cert", "validat", time)
    yield [client.call("cert", "setencode", encode) for encode in ("ai5", "utf8", "latin1")]


@alike
def before_the_handshake(scene: Scene) -> Trace:
    yield from scene.wrapped()
    for party, name in scene.sides:
        yield party.call(name, "receive")
        yield party.call(name, "receive", 5, b"pre")
        yield party.call(name, "send", b"x")
        for method in ("getpeercertificate", "getpeerchain", "getpeerverification", "getfinished", "info"):
            yield method, party.call(name, method)
        for method in ("getalpn", "getsniname", "dirty", "want"):
            yield method, party.call(name, method)


@alike
def after_close(scene: Scene) -> Trace:
    yield from scene.established()
    for party, name in scene.sides:
        party.call(name, "close")
        party.call(name, "close")
        yield party.call(name, "receive")
        yield party.call(name, "send", b"x")
        # LuaSec crashes at dohandshake().
        for method in ("dirty", "want", "getpeercertificate", "getpeerverification", "getfinished"):
            yield method, party.call(name, method)


# Handshakes that fail.


@alike
def the_wrong_authority(scene: Scene) -> Trace:
    stranger = str(scene.authority.issue("localhost", by_stranger=True))
    yield from scene.established(server=scene.server_params(certificate=stranger, key=stranger))
    for party, name in scene.sides:
        yield party.call(name, "receive")
        yield party.call(name, "send", b"x")


@alike
def another_name(scene: Scene) -> Trace:
    """LuaSec does not compare names."""
    yield from scene.wrapped(server=scene.server_params("elsewhere.example"))
    yield scene.client.call("c", "sni", "localhost")
    yield from scene.shaken()
    yield scene.server.call("s", "getsniname"), scene.client.call("c", "getsniname")


@alike
def nothing_is_verified(scene: Scene) -> Trace:
    yield from scene.established(scene.client_params(verify="none"))


@alike
def closed_by_the_client_before(scene: Scene) -> Trace:
    scene.connected()
    scene.client.call("c", "close")
    yield scene.server.do("ssl.wrap", Ref("s"), scene.server_params(), keep="s")
    yield scene.server.call("s", "settimeout", 30)
    yield scene.server.call("s", "dohandshake")


@alike
def closed_by_the_server_before(scene: Scene) -> Trace:
    scene.connected()
    scene.server.call("s", "close")
    yield scene.client.do("ssl.wrap", Ref("c"), scene.client_params(), keep="c")
    yield scene.client.call("c", "settimeout", 30)
    yield scene.client.call("c", "dohandshake")[0]


@alike
def the_other_is_silent(scene: Scene) -> Trace:
    yield from scene.wrapped()
    for party, name in scene.sides:
        for seconds in (0, 0.01):
            party.call(name, "settimeout", seconds)
            yield party.call(name, "want")
            yield party.call(name, "dohandshake")
            yield party.call(name, "want")
            yield party.call(name, "receive")
            yield party.call(name, "dirty")


@alike
def no_version_in_common(scene: Scene) -> Trace:
    other = {"TLSv1.2": "tlsv1_3", "TLSv1.3": "tlsv1_2"}[scene.version]
    yield from scene.established(scene.client_params(protocol=other))


@alike
def no_version_at_all(scene: Scene) -> Trace:
    yield from scene.wrapped(
        scene.client_params(protocol="any", options=["no_tlsv1_2", "no_tlsv1_3", "no_tlsv1_1", "no_tlsv1"])
    )
    yield scene.client.call("c", "dohandshake")


@alike
def plain_text_from_the_client(scene: Scene) -> Trace:
    scene.connected()
    scene.server.do("ssl.wrap", Ref("s"), scene.server_params(), keep="s")
    scene.client.call("c", "send", b"GET / HTTP/1.0\r\n\r\n")
    yield scene.server.call("s", "dohandshake")
    scene.client.call("c", "close")


@alike
def plain_text_from_the_server(scene: Scene) -> Trace:
    scene.connected()
    scene.client.do("ssl.wrap", Ref("c"), scene.client_params(), keep="c")
    scene.server.call("s", "send", b"220 mail.example ESMTP\r\n")
    yield scene.client.call("c", "dohandshake")


# Certificates of clients.


def _asking(scene: Scene, verify: Any) -> dict[str, Any]:
    return scene.server_params(cafile=str(scene.authority.file), verify=verify)


@alike
def a_client_has_the_certificate_that_is_required(scene: Scene) -> Trace:
    own = str(scene.authority.issue("client.example"))
    yield from scene.established(
        scene.client_params(certificate=own, key=own), _asking(scene, ["peer", "fail_if_no_peer_cert"])
    )
    yield scene.server.call("s", "getpeerverification")
    yield scene.server.call("s", "getpeercertificate", keep="cert")
    yield scene.server.call("cert", "extensions")
    yield len(scene.server.call("s", "getpeerchain")[0])


@alike
def a_client_lacks_the_certificate_that_is_required(scene: Scene) -> Trace:
    yield from scene.established(server=_asking(scene, ["peer", "fail_if_no_peer_cert"]))
    yield received(scene.client, "c")
    yield received(scene.client, "c")
    yield received(scene.server, "s")


@alike
def a_client_lacks_a_certificate_and_may(scene: Scene) -> Trace:
    yield from scene.established(server=_asking(scene, "peer"))
    yield scene.server.call("s", "getpeerverification")
    yield scene.server.call("s", "getpeercertificate")


@alike
def a_client_has_the_certificate_of_a_stranger(scene: Scene) -> Trace:
    own = str(scene.authority.issue("client.example", by_stranger=True))
    yield from scene.established(scene.client_params(certificate=own, key=own), _asking(scene, "peer"))
    yield received(scene.client, "c")


# ALPN and SNI.


@alike
def protocols_in_common(scene: Scene) -> Trace:
    yield from scene.established(
        scene.client_params(alpn=["http/1.1", "h2", "x"]), scene.server_params(alpn=["h2", "http/1.1"])
    )
    yield scene.client.call("c", "getalpn"), scene.server.call("s", "getalpn")


@alike
def one_protocol(scene: Scene) -> Trace:
    yield from scene.established(scene.client_params(alpn="h2"), scene.server_params(alpn=["h2"]))
    yield scene.client.call("c", "getalpn"), scene.server.call("s", "getalpn")


@alike
def no_protocol_in_common(scene: Scene) -> Trace:
    yield from scene.established(scene.client_params(alpn=["x"]), scene.server_params(alpn=["h2"]))
    yield scene.client.call("c", "getalpn"), scene.server.call("s", "getalpn")


def _named(scene: Scene, asked: str | None, strict: bool) -> Trace:
    yield from scene.wrapped()
    for name in ("a.example", "b.example"):
        scene.server.do("ssl.newcontext", scene.server_params(name), keep=name)
    names = {name: Ref(name) for name in ("a.example", "b.example")}
    yield scene.server.call("s", "sni", names, strict)
    if asked is not None:
        yield scene.client.call("c", "sni", asked)
    yield from scene.shaken()
    yield scene.client.call("c", "getsniname"), scene.server.call("s", "getsniname")
    if scene.client.call("c", "getpeercertificate", keep="cert")[0] == "object":
        yield scene.client.call("cert", "extensions")


@alike
def a_name_that_is_known(scene: Scene) -> Trace:
    yield from _named(scene, "b.example", True)


@alike
def a_name_that_is_not_known(scene: Scene) -> Trace:
    yield from _named(scene, "c.example", False)


@alike
def a_name_that_is_not_known_strictly(scene: Scene) -> Trace:
    yield from _named(scene, "c.example", True)


@alike
def no_name(scene: Scene) -> Trace:
    yield from _named(scene, None, True)
