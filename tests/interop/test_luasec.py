"""socket2.luasocket.ssl and LuaSec itself, as client and server of each other: the same calls have the same results."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from datetime import datetime
from ipaddress import ip_address
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA384, SHA512
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

import socket2
from socket2 import luasocket
from socket2.luasocket import ssl

from ..tls.certificates import Authority, versions
from .luasec import data, handshakes
from .luasec.parties import LuaSec, Ours, Party
from .luasec.scene import ALIKE, Scene
from .peers import Program, beside, call, pattern, run

SCENARIOS = [name for name, scenario in ALIKE.items() if scenario.__module__ in (data.__name__, handshakes.__name__)]


@pytest.fixture(scope="module")
def lua() -> str:
    """A Lua interpreter that has LuaSec."""
    for name in ("lua5.4", "lua5.3", "lua5.1", "lua"):
        path = shutil.which(name)
        if path and not subprocess.run([path, "-e", 'require "ssl"'], capture_output=True, check=False).returncode:
            return path
    pytest.skip("there is no Lua with LuaSec (Debian: lua5.4 lua-sec)")


@pytest.fixture(scope="module")
def luasec(lua: str) -> Iterator[tuple[LuaSec, LuaSec]]:
    """Two Lua processes, for a client and a server."""
    both = LuaSec(lua), LuaSec(lua)
    yield both
    for one in both:
        one.end()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("luasec"))


def trace(name: str, client: Party, server: Party, authority: Authority, version: str) -> list[Any]:
    try:
        return list(ALIKE[name](Scene(client, server, authority, version)))
    finally:
        client.close()
        server.close()


@versions
@pytest.mark.parametrize("name", SCENARIOS)
def test_ours_is_as_luasecs(name: str, version: str, luasec: tuple[LuaSec, LuaSec], authority: Authority) -> None:
    its = trace(name, *luasec, authority, version)
    ours = Ours(), Ours()
    assert trace(name, *ours, authority, version) == its, "ours with ours"
    assert trace(name, ours[0], luasec[1], authority, version) == its, "our client and its server"
    assert trace(name, luasec[0], ours[1], authority, version) == its, "its client and our server"


# What needs no connection.


def refused_parameters(authority: Authority) -> list[dict[str, Any]]:
    ours, ca = str(authority.ours), str(authority.file)
    (authority.folder / "empty.pem").touch()
    empty = str(authority.folder / "empty.pem")
    several: list[dict[str, Any]] = [
        {},
        {"protocol": "sslv2"},
        {"certificate": empty},
        {"certificate": ca},
        {"password": 3},
        {"cafile": ca, "verify": ["peer", "client_once", "fail_if_no_peer_cert"]},
        {"cafile": empty},
        {"capath": str(authority.folder)},
        {"ciphers": "no such"},
        {"ciphers": "ECDHE+AESGCM"},
        {"verify": ["peer", "no such"]},
        {"options": "no such"},
        {"options": ["all", "no_sslv2", "no_sslv3", "no_tlsv1", "no_compression", "single_dh_use", "tls_d5_bug"]},
        {"dhparam": "no function"},
        {"curve": "no such"},
        {"curve": "P-256"},
        {"curve": "secp384r1"},
        {"curveslist": "no such"},
        {"curveslist": "P-521"},
        {"verifyext": "no such"},
        {"verifyext": ["crl_check", "crl_check_chain"]},
        {"alpn": 3},
        {"alpn": "h2"},
        {"alpn": []},
        {"alpn": ["h2", ""]},
        {"alpn": ["x" * 256]},
        {"mode": "client", "alpn": []},
        {"mode": "client", "alpn": "x" * 256},
        {"mode": "client", "alpn": 3},
    ]
    return [{"mode": "server", "protocol": "any", "certificate": ours, "key": ours, **more} for more in several]


def test_the_same_parameters_are_refused(luasec: tuple[LuaSec, LuaSec], authority: Authority) -> None:
    for params in refused_parameters(authority):
        its = luasec[0].do("ssl.newcontext", params)
        assert Ours().do("ssl.newcontext", params) == its, params


def certificate(key: Any, algorithm: Any, serial: int) -> str:
    """Return a certificate with names of many kinds."""
    name = x509.Name(
        x509.NameAttribute(getattr(NameOID, oid), value)
        for oid, value in (
            ("COUNTRY_NAME", "DE"),
            ("STATE_OR_PROVINCE_NAME", "Sachsen"),
            ("LOCALITY_NAME", "Görlitz"),
            ("ORGANIZATION_NAME", "Ünits"),
            ("DOMAIN_COMPONENT", "example"),
            ("COMMON_NAME", "a.example"),
            ("EMAIL_ADDRESS", "a@a.example"),
            ("SERIAL_NUMBER", "17"),
            ("USER_ID", "someone"),
        )
    )
    names = x509.SubjectAlternativeName(
        [
            x509.DNSName("a.example"),
            x509.DNSName("*.b.example"),
            x509.RFC822Name("a@a.example"),
            x509.UniformResourceIdentifier("https://a.example/"),
            x509.IPAddress(ip_address("192.0.2.1")),
            x509.IPAddress(ip_address("2001:db8::1")),
        ]
    )
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(serial).add_extension(names, critical=False)
    builder = builder.not_valid_before(datetime(2020, 1, 2, 3, 4, 5)).not_valid_after(
        datetime(2060, 11, 12, 13, 14, 15)
    )
    return builder.sign(key, algorithm).public_bytes(Encoding.PEM).decode()


METHODS = ("subject", "issuer", "extensions", "serial", "notbefore", "notafter", "pem", "pubkey", "digest")


@pytest.mark.parametrize("kind", ["rsa", "ec", "ed25519"])
def test_certificates_are_read_alike(kind: str, luasec: tuple[LuaSec, LuaSec]) -> None:
    pem = {
        "rsa": lambda: certificate(rsa.generate_private_key(65537, 2048), SHA384(), 0x80),
        "ec": lambda: certificate(ec.generate_private_key(ec.SECP521R1()), SHA512(), 0x1234567),
        "ed25519": lambda: certificate(ed25519.Ed25519PrivateKey.generate(), None, 1),
    }[kind]()
    told: list[Any] = []
    for party in (luasec[0], Ours()):
        party.do("ssl.loadcertificate", f"text before\n{pem}text behind", keep="cert")
        party.call("cert", "setencode", "utf8")
        told.append(
            [party.call("cert", method) for method in (*METHODS, "getsignaturename")]
            + [party.call("cert", "validat", time) for time in (1577934244, 1577934245, 2867145255, 2867145256)]
        )
        assert party.do("ssl.loadcertificate", "no certificate") == []
    assert told[1] == told[0]


# Both wait, as in most programs.

SERVER = """
local socket, ssl = require "socket", require "ssl"
local server = assert(socket.bind("127.0.0.1", 0))
print("listening on 127.0.0.1:" .. select(2, server:getsockname()))
io.stdout:flush()
local params = {mode = "server", protocol = "any", certificate = arg[1], key = arg[1]}
local conn = assert(ssl.wrap(assert(server:accept()), params))
assert(conn:dohandshake())
local all = assert(conn:receive("*a"))
assert(conn:send(all) == #all)
conn:close()
"""


def test_its_server_and_our_client_that_ends_half_of_the_stream(lua: str, authority: Authority) -> None:
    data = pattern(51, 2_000_000)

    async def main(port: int) -> None:
        client, err = await luasocket.connect("127.0.0.1", port)
        assert client is not None, err
        conn, err = ssl.wrap(client, {"mode": "client", "protocol": "any", "verify": "peer", "cafile": authority.file})
        assert conn is not None, err
        with conn:
            assert await conn.dohandshake() == (True, None)
            assert await conn.send(data) == (len(data), None, None)
            conn.shutdown("send")
            assert await conn.receive("*a") == (data, None, None)

    with Program([lua, "-e", f'arg = {{"{authority.ours}"}}\n{SERVER}']) as server:
        run(main, server.port())
        assert server.wait() == 0


CLIENT = """
local socket, ssl = require "socket", require "ssl"
local params = {mode = "client", protocol = "any", verify = "peer", cafile = arg[2]}
local conn = assert(ssl.wrap(assert(socket.connect("127.0.0.1", arg[1])), params))
conn:sni("localhost")
assert(conn:dohandshake())
local data = ("0123456789abcde\\n"):rep(100000)
assert(conn:send(data) == #data)
assert(conn:receive(#data) == data)
print(conn:receive("*a"))
conn:close()
"""


def test_its_clients_and_our_server(lua: str, authority: Authority) -> None:
    size = 1_600_000
    context, _ = ssl.newcontext(
        {"mode": "server", "protocol": "any", "certificate": authority.ours, "key": authority.ours}
    )

    async def serve(client: luasocket.TCP | None) -> None:
        conn, err = ssl.wrap(client, context)
        assert conn is not None, err
        with conn:
            assert await conn.dohandshake() == (True, None)
            assert conn.getsniname() == "localhost"
            data, err, _ = await conn.receive(size)
            assert await conn.send(data) == (size, None, None), err

    async def main() -> None:
        server, err = await luasocket.bind("127.0.0.1", 0)
        assert server is not None, err
        code = f'arg = {{{server.getsockname()[1]}, "{authority.file}"}}\n{CLIENT}'
        with server, beside(call, [lua, "-e", code]) as one, beside(call, [lua, "-e", code]) as other:
            threads = [socket2.newthread(serve, (await server.accept())[0]) for _ in range(2)]
            for thread in threads:
                await thread.join()
        for client in (one, other):
            assert client.outcome().stdout.split() == [b"nil", b"closed"]

    run(main)
