"""Names with letters beyond ASCII: as the package `idna` says, and as the standard library does without it."""

from __future__ import annotations

import socket
import sys
from typing import Any

import pytest

from socket2 import addr, connect, listen, run
from socket2.sockets.hostnames import ascii_name


@pytest.fixture(params=["2008", "2003"])
def standard(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "2003":
        monkeypatch.setitem(sys.modules, "idna", None)
    else:
        pytest.importorskip("idna")
    return str(request.param)


def test_names_in_ascii_are_untouched(standard: str) -> None:
    for name in ("example.org", "EXAMPLE.org.", "_srv._tcp.example", "xn--bcher-kva.example", "192.0.2.1", "a..b", ""):
        assert ascii_name(name) is name


def test_names_that_both_standards_have(standard: str) -> None:
    for name, expected in {
        "bücher.example": "xn--bcher-kva.example",
        "BÜCHER.Example": "xn--bcher-kva.example",
        "bücher.example.": "xn--bcher-kva.example.",
        "bu\u0308cher.example": "xn--bcher-kva.example",
        "例え\u3002テスト": "xn--r8jz45g.xn--zckzah",
        "\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54": "localhost",
        "\uff11\uff19\uff12.0.2.1": "192.0.2.1",
    }.items():
        assert ascii_name(name).lower() == expected


def test_where_the_standards_differ(standard: str) -> None:
    expected = {"2008": "xn--fa-hia.example", "2003": "fass.example"}
    assert ascii_name("faß.example") == expected[standard]


def test_labels_in_ascii_beside_others(standard: str) -> None:
    assert ascii_name("_sip._tcp.bücher.example") == "_sip._tcp.xn--bcher-kva.example"


@pytest.mark.parametrize("name", ["\ud800.example", "ü" * 64 + ".example", "\u0660a\u05d0.example", "a\u2488.\ud800"])
def test_what_cannot_be_a_name(standard: str, name: str) -> None:
    for refuse in (
        ascii_name,
        lambda name: addr(name, 80),
        lambda name: connect(name, 80),
        lambda name: listen(name, 0),
    ):
        with pytest.raises(UnicodeError) as failure:
            refuse(name)
        assert repr(name) in str(failure.value)


def test_a_symbol_is_no_name_any_more(standard: str) -> None:
    if standard == "2008":
        with pytest.raises(UnicodeError, match="'☃.example' is not a valid host name"):
            ascii_name("☃.example")
    else:
        assert ascii_name("☃.example") == "xn--n3h.example"


class Table:
    def __init__(self) -> None:
        self.asked: list[Any] = []

    def getaddrinfo(self, host: Any, port: Any, family: int, type: int, proto: int, flags: int) -> Any:
        self.asked.append(host)
        return [(socket.AF_INET, type, proto, "", ("127.0.0.1", int(port)))]

    def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "no name")


def test_the_resolver_is_asked_in_ascii(standard: str) -> None:
    async def main() -> None:
        with listen("127.0.0.1:0") as listener:
            port = listener.getsockname()[1]
            (await connect("bücher.example", port)).close()
            (await connect(f"bücher.example:{port}")).close()
            assert (await addr("bücher.example", port))[0].sockaddr == ("127.0.0.1", port)
            (await connect("\uff4cocalhost", port, family="inet")).close()  # no lookup

    table = Table()
    run(main, resolver=table)
    assert table.asked == ["xn--bcher-kva.example"] * 3
