"""The scenarios of certified.js, with socket2.net.tls."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from socket2.net import Socket, tls
from socket2.net.tls import TLSSocket

from .papers import EVENTS, dial, flow, identity, ignore, pair, pem, serve
from .stage import Stage

Options = dict[str, Any]
Scenario = Callable[[Stage], None]


class Mine(Exception):
    code = "MINE"


def verdict(client: TLSSocket) -> list[Any]:
    return [client.authorized, client.authorizationError]


def shown(stage: Stage, name: str, **options: Any) -> None:
    """Let a client with these options meet a server with this certificate."""

    def take(conn: TLSSocket) -> None:
        conn.on("error", ignore)
        conn.resume()

    def go(where: Options, server: tls.Server) -> None:
        client = dial(stage, where, "connect", "secureConnect", "error", "close", **options)

        def secured() -> None:
            stage.say("client", "verdict", verdict(client))
            client.end()

        def closed(_: bool) -> None:
            stage.say("client", "verdict", verdict(client))
            server.close()

        client.on("secureConnect", secured)
        client.on("close", closed)
        client.resume()

    server = serve(stage, identity(stage, name), take, go)
    server.removeAllListeners("tlsClientError")


def checked_by_a_function(stage: Stage) -> None:
    def check(host: str, cert: Options) -> None:
        stage.say("check", "called", host, cert["subjectaltname"])

    shown(stage, "elsewhere", checkServerIdentity=check)


def refuse(_: str, __: Options) -> Exception:
    return Mine("mine")


def checked_by_a_function_that_refuses(stage: Stage) -> None:
    shown(stage, "localhost", checkServerIdentity=refuse)


def checked_by_a_function_that_is_ignored(stage: Stage) -> None:
    shown(stage, "localhost", checkServerIdentity=refuse, rejectUnauthorized=False)


SHOWN: dict[str, tuple[str, Options]] = {
    "trusted": ("localhost", {}),
    "trusted_and_never_rejected": ("localhost", {"rejectUnauthorized": False}),
    "self_signed": ("selfsigned", {}),
    "self_signed_not_rejected": ("selfsigned", {"rejectUnauthorized": False}),
    "expired": ("expired", {}),
    "expired_not_rejected": ("expired", {"rejectUnauthorized": False}),
    "wrong_host": ("elsewhere", {}),
    "wrong_host_not_rejected": ("elsewhere", {"rejectUnauthorized": False}),
    "wildcard_host": ("elsewhere", {"servername": "a.wild.example"}),
    "from_a_stranger": ("stranger", {}),
    "from_a_stranger_not_rejected": ("stranger", {"rejectUnauthorized": False}),
    "by_address": ("localhost", {"servername": None}),
    "by_address_that_is_wrong": ("elsewhere", {"servername": None}),
}


def _shown(name: str, options: Options) -> Scenario:
    return lambda stage: shown(stage, name, **options)


MORE: dict[str, Scenario] = {scenario: _shown(*what) for scenario, what in SHOWN.items()}

ASKED = [
    ("a.example", "DNS:a.example"),
    ("A.example.", "DNS:a.EXAMPLE"),
    ("b.example", "DNS:a.example"),
    ("x.a.example", "DNS:*.a.example"),
    ("x.y.a.example", "DNS:*.a.example"),
    ("fox.example", "DNS:f*.example."),
    ("x.example", "DNS:*.example"),
    ("1.2.3.4", "IP Address:1.2.3.4"),
    ("::1", "IP Address:0:0:0:0:0:0:0:1"),
    ("1.2.3.4", "DNS:1.2.3.4"),
    ("a.example", 'DNS:"a.example, DNS:b.example"'),
    ("xn--a.b.example", "DNS:xn--*.b.example"),
    ("a.example", None),
    ("a..example", "DNS:a..example"),
    ("foobar.b.example", "DNS:f*r.b.example"),
    ("foobar.b.example", "DNS:f*o*r.b.example"),
]


def identities(stage: Stage) -> None:
    for host, names in ASKED:
        error: Any = tls.checkServerIdentity(host, {"subject": {"CN": "a.example"}, "subjectaltname": names})
        stage.say("check", f"{host} {names or ''}", error and error.code, error and error.reason)
    stage.say("check", "several CN", tls.checkServerIdentity("b", {"subject": {"CN": ["a", "b"]}}))
    stage.say("check", "no names", str(tls.checkServerIdentity("b", {"subject": {}})))


# Protocols.


def agree(stage: Stage, of_server: Options, of_client: Options) -> None:
    def act(client: TLSSocket, conn: TLSSocket, _: Socket) -> None:
        stage.say("client", "protocol", client.alpnProtocol)
        stage.say("conn", "protocol", conn.alpnProtocol)
        flow(client, conn)
        client.end()

    pair(stage, act, of_server, of_client)


def a_protocol_is_chosen(stage: Stage) -> None:
    agree(stage, {"ALPNProtocols": ["b", "a"]}, {"ALPNProtocols": ["a", "b", "c"]})


def no_protocol_of_the_server(stage: Stage) -> None:
    agree(stage, {}, {"ALPNProtocols": ["a"]})


def no_protocol_of_the_client(stage: Stage) -> None:
    agree(stage, {"ALPNProtocols": ["a"]}, {})


def no_common_protocol(stage: Stage) -> None:
    def take(conn: TLSSocket) -> None:
        stage.say("conn", "protocol", conn.alpnProtocol)
        conn.resume()

    def go(where: Options, server: tls.Server) -> None:
        client = dial(stage, where, *EVENTS, ALPNProtocols=["b"])

        def secured() -> None:
            stage.say("client", "protocol", client.alpnProtocol)
            client.end()

        client.on("secureConnect", secured)
        client.resume().on("close", lambda _: server.close() and None)

    serve(stage, {"ALPNProtocols": ["a"]}, take, go)


# Names.


def ask(stage: Stage, of_server: Options, prepare: Callable[[tls.Server], Any] = ignore) -> None:
    def take(conn: TLSSocket) -> None:
        stage.say("conn", "name", conn.servername)
        conn.resume()

    def go(where: Options, server: tls.Server) -> None:
        client = dial(stage, where, *EVENTS, rejectUnauthorized=False, servername="a.wild.example")

        def secured() -> None:
            stage.say("client", "name", (client.getPeerCertificate() or {})["subjectaltname"])
            client.end()

        client.on("secureConnect", secured)
        client.resume().on("close", lambda _: server.close() and None)

    prepare(serve(stage, of_server, take, go))


def a_context_for_a_name(stage: Stage) -> None:
    ask(stage, {}, lambda server: server.addContext("*.wild.example", identity(stage, "elsewhere")))


def a_context_for_another_name(stage: Stage) -> None:
    ask(stage, {}, lambda server: server.addContext("wild.example", identity(stage, "elsewhere")))


def the_last_context_counts(stage: Stage) -> None:
    def prepare(server: tls.Server) -> None:
        server.addContext("a.wild.example", identity(stage, "stranger"))
        server.addContext("*.wild.example", tls.createSecureContext(identity(stage, "elsewhere")))

    ask(stage, {}, prepare)


def a_context_by_a_function(stage: Stage) -> None:
    def choose(name: str, done: Callable[..., None]) -> None:
        stage.say("function", "called", name)
        done(None, tls.createSecureContext(identity(stage, "elsewhere")))

    ask(stage, {"SNICallback": choose})


def no_context_by_a_function(stage: Stage) -> None:
    ask(stage, {"SNICallback": lambda _, done: done(None)})


def another_certificate_from_now_on(stage: Stage) -> None:
    ask(stage, {}, lambda server: server.setSecureContext(identity(stage, "elsewhere")))


def the_function_fails(stage: Stage) -> None:
    def go(where: Options, server: tls.Server) -> None:
        client = dial(stage, where, "connect", "secureConnect", "close")
        client.on("error", ignore)
        client.on("close", lambda _: server.close() and None)

    unexpected = partial(stage.say, "server", "unexpected")
    serve(stage, {"SNICallback": lambda _, done: done(Mine("mine"))}, unexpected, go)


def no_name_for_a_context(stage: Stage) -> None:
    server = tls.createServer(identity(stage))
    stage.attempt("server", "addContext", lambda: server.addContext("", {}))


# Certificates of clients.


def required(stage: Stage, **more: Any) -> Options:
    return {"requestCert": True, "ca": pem(stage, "ca"), **more}


def a_client_with_a_certificate(stage: Stage) -> None:
    def act(client: TLSSocket, conn: TLSSocket, _: Socket) -> None:
        stage.say("conn", "verdict", verdict(conn), (conn.getPeerCertificate() or {})["subjectaltname"])
        flow(client, conn)
        client.end()

    pair(stage, act, required(stage), identity(stage, "client"))


def without(stage: Stage, *events: str, **options: Any) -> None:
    def go(where: Options, server: tls.Server) -> None:
        client = dial(stage, where, *events, **options)
        client.on("error", ignore)
        client.resume().on("close", lambda _: server.close() and None)

    serve(stage, required(stage), partial(stage.say, "server", "unexpected"), go)


def a_client_without_a_certificate(stage: Stage) -> None:
    without(stage, "secureConnect", "error", "close")


def a_client_without_a_certificate_in_version_1_2(stage: Stage) -> None:
    without(stage, "secureConnect", "error", "close", maxVersion="TLSv1.2")


def a_client_without_a_certificate_is_not_rejected(stage: Stage) -> None:
    def act(client: TLSSocket, conn: TLSSocket, _: Socket) -> None:
        stage.say("conn", "verdict", verdict(conn), conn.getPeerCertificate())
        flow(client, conn)
        client.end()

    pair(stage, act, required(stage, rejectUnauthorized=False))


def a_client_with_a_strange_certificate(stage: Stage) -> None:
    without(stage, "secureConnect", "close", **identity(stage, "stranger"))


def wrong_options(stage: Stage) -> None:
    stage.attempt("context", "version", lambda: tls.createSecureContext({"minVersion": "TLSv9"}))
    stage.attempt("context", "no context", lambda: tls.connect({"port": 1, "secureContext": {}}))
    stage.attempt("context", "function", lambda: tls.createServer({"SNICallback": 1}))
