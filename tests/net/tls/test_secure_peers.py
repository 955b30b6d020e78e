"""socket2.net.tls with the programs of OpenSSL, in both roles."""

from __future__ import annotations

import pytest

from socket2 import sleep
from socket2.net import tls

from ...interop.peers import needs
from ...tls.certificates import Authority, versions
from ...tls.ends import Steps, limited
from ...tls.interactive import Interactive
from ..scene import Log, port_of, record
from .secure_scene import server_of


def flag_of(version: str) -> str:
    return "-" + version.lower().replace("v", "").replace(".", "_")


@versions
def test_s_client(authority: Authority, version: str) -> None:
    log: Log = []

    def main() -> Steps:
        with server_of(authority, ALPNProtocols=["b"]) as server:
            server.listen(0, "127.0.0.1")
            yield from server.wait("listening")
            command = [needs("openssl"), "s_client", "-connect", f"127.0.0.1:{port_of(server)}", flag_of(version)]
            command += ["-servername", "localhost", "-CAfile", str(authority.file), "-verify_return_error"]
            with Interactive(*command, "-alpn", "a,b") as client:
                conn = yield from server.accept()
                assert isinstance(conn, tls.TLSSocket)
                record(conn, ["end", "finish", "error", "close"], log)
                assert (conn.getProtocol(), conn.alpnProtocol, conn.servername) == (version, "b", "localhost")
                client.say("from the client")
                assert (yield from conn.recv()) == b"from the client\n"
                conn.write("from the server\n")
                yield from client.until("from the server")
                client.end()
                assert (yield from conn.recv()) == b""
                yield from conn.wait("close")

    limited(main)
    assert log == ["end", "finish", ("close", False)]


@versions
@pytest.mark.parametrize("has_one", [True, False], ids=["with a certificate", "without"])
def test_s_server_that_wants_a_certificate(authority: Authority, version: str, has_one: bool) -> None:
    log: Log = []

    def main() -> Steps:
        path = str(authority.ours)
        command = [needs("openssl"), "s_server", "-accept", "0", "-cert", path, "-key", path, flag_of(version)]
        with Interactive(*command, "-Verify", "1", "-CAfile", str(authority.file)) as server:
            port = (yield from server.until(r"ACCEPT .*:(\d+)"))[1]
            options = {"ca": authority.file, "servername": "localhost"}
            if has_one:
                options["cert"] = authority.issue("client.example")
            client = tls.connect(int(port), "127.0.0.1", options)
            record(client, ["secureConnect", "error", "close"], log)
            if has_one:
                client.write("from the client\n")
                yield from server.until("from the client")
                server.say("from the server")
                assert (yield from client.recv()) == b"from the server\n"
                client.end()
            client.resume()
            while ("close", not has_one) not in log:
                yield from sleep(0)

    limited(main)
    if not has_one:
        reason = "SSLV3_ALERT_HANDSHAKE_FAILURE" if version == "TLSv1.2" else "TLSV13_ALERT_CERTIFICATE_REQUIRED"
        assert [entry[1].code for entry in log if entry[0] == "error"] == [f"ERR_SSL_{reason}"]
