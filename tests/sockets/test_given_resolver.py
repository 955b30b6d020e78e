"""The resolver that run() or start() gets: every call asks it for every name, and for nothing else."""

from __future__ import annotations

import socket
from collections.abc import Generator
from contextlib import closing, suppress
from typing import Any

import pytest

import socket2
from socket2 import (
    Cancelled,
    Server,
    addr,
    connect,
    listen,
    luasocket,
    net,
    newthread,
    run,
    serve_threads,
    sleep,
    start,
    suspend,
    tcp,
    timeout,
    udp,
)
from socket2.threads import osthreads

from ..net.scene import started

Steps = Generator[Any, Any, Any]

NAME = "there.invalid"  # no system knows this name


class Table:
    """A resolver that knows one name and notes all questions."""

    def __init__(self, *ips: str) -> None:
        self.ips = ips or ("127.0.0.1",)
        self.asked: list[tuple[Any, ...]] = []

    def found(self, host: Any, port: Any, family: int, type: int, proto: int, flags: int) -> list[Any]:
        self.asked.append((host, port, family, type, proto, flags))
        if host != NAME:
            raise socket.gaierror(socket.EAI_NONAME, f"no {host}")
        canonical = "canonical.invalid" if flags & socket.AI_CANONNAME else ""
        port = {"http": 80, None: 0}.get(port, port)
        return [(socket.AF_INET, type, proto or 6, canonical, (ip, int(port))) for ip in self.ips]

    def getnameinfo(self, sockaddr: Any, flags: int) -> Any:
        self.asked.append((sockaddr, flags))
        return NAME, "a service"


class Plain(Table):
    def getaddrinfo(self, *args: Any) -> Any:
        return self.found(*args)


class AGenerator(Table):
    def getaddrinfo(self, *args: Any) -> Any:
        yield from sleep(0.001)
        return self.found(*args)


class Async(Table):
    async def getaddrinfo(self, *args: Any) -> Any:
        await sleep(0.001)
        return self.found(*args)


class InAnOsThread(Table):
    def getaddrinfo(self, *args: Any) -> Any:
        return socket2.call_in_thread(self.found, *args)


KINDS = (Plain, AGenerator, Async, InAnOsThread)


@pytest.fixture(autouse=True)
def no_other_look_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> Any:
        raise AssertionError(f"somebody else was asked: {args}")

    monkeypatch.setattr(osthreads.lookups, "call", refuse)


@pytest.mark.parametrize("kind", KINDS)
def test_it_answers_whatever_its_methods_are(kind: Any) -> None:
    table = kind("192.0.2.1", "192.0.2.2")

    def main(port: Any) -> Steps:
        found = yield from addr(NAME, port)
        assert [str(address) for address in found] == ["192.0.2.1:80", "192.0.2.2:80"]
        assert (found.type, found.family, found.protocol) == ("tcp", "inet", "tcp")

    run(main, "http", resolver=table)
    assert table.asked == [(NAME, "http", socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, 0)]


def test_arguments_of_main_are_its_own() -> None:
    def main(*args: Any) -> Steps:
        yield from sleep(0)
        return args

    assert run(main, 1, "resolver", resolver=Plain()) == (1, "resolver")


def test_literals_and_localhost_are_not_asked_for() -> None:
    table = Plain()

    def main() -> Steps:
        for host in ("192.0.2.7", "2001:db8::7", "localhost", None, False, ("192.0.2.7", 80)):
            yield from addr(host, 80, family=None)

    run(main, resolver=table)
    assert table.asked == []


@pytest.mark.parametrize("kind", KINDS)
def test_whoever_connects_asks_it(kind: Any) -> None:
    table = kind()

    def main() -> Steps:
        with listen("127.0.0.1:0") as listener:
            port = listener.getsockname()[1]
            (yield from connect(f"{NAME}:{port}")).close()
            with tcp() as sock:
                yield from sock.connect(NAME, port)
            with udp() as one, udp() as other:
                other.bind("127.0.0.1", 0)
                yield from one.sendto(b"to a name", NAME, other.getsockname()[1])
                assert (yield from other.recv(100)) == b"to a name"
                yield from one.connect(NAME, other.getsockname()[1])

    run(main, resolver=table)
    assert [asked[0] for asked in table.asked] == [NAME] * 4


def test_a_server_listens_at_a_name() -> None:
    table = Async()

    def main() -> Steps:
        server = Server(lambda conn: conn.sendall(b"hello"))
        yield from server.listen(NAME, 0)
        with (yield from connect(server.addresses[0])) as conn:
            assert (yield from conn.recv(10)) == b"hello"
        yield from server.stop()

    run(main, resolver=table)
    assert [asked[0] for asked in table.asked] == [NAME]


def test_the_other_faces_ask_it() -> None:
    table = Async("127.0.0.1", "127.0.0.1")

    def main() -> Steps:
        with listen("127.0.0.1:0") as listener:
            with closing(luasocket.tcp()) as sock:
                assert (yield from sock.connect(NAME, listener.getsockname()[1])) == (1, None)
            with (yield from listener.accept()):
                pass
        known = {"name": "canonical.invalid", "alias": [], "ip": ["127.0.0.1"]}
        assert (yield from luasocket.dns.toip(NAME)) == ("127.0.0.1", known)
        assert (yield from luasocket.dns.tohostname("127.0.0.1"))[0] == NAME
        assert (yield from luasocket.dns.toip("nobody.invalid"))[1] == "host not found"
        assert (yield from luasocket.dns.getaddrinfo(NAME))[0] == [{"family": "inet", "addr": "127.0.0.1"}] * 2
        assert (yield from luasocket.dns.getnameinfo(NAME, "http")) == ([NAME] * 2, "a service")

    run(main, resolver=table)
    table.asked.clear()

    async def evented() -> None:
        server = net.createServer(lambda conn: conn.end())
        conn = net.connect(await started(server), NAME)
        conn.resume()
        await conn.wait("close")
        server.close()
        await server.wait("close")

    run(evented, resolver=table)
    assert [asked[0] for asked in table.asked] == [NAME]


def test_what_it_raises_and_an_empty_answer() -> None:
    class Broken(Plain):
        def getaddrinfo(self, host: Any, *args: Any) -> Any:
            if host == "nothing.invalid":
                return []
            raise ZeroDivisionError if host == "bug.invalid" else socket.gaierror(socket.EAI_AGAIN, "later")

    def main() -> Steps:
        for host, error, number in (
            ("nothing.invalid", socket.gaierror, socket.EAI_NONAME),
            ("later.invalid", socket.gaierror, socket.EAI_AGAIN),
            ("bug.invalid", ZeroDivisionError, None),
        ):
            with pytest.raises(error) as raised:
                yield from connect(host, 80)
            assert getattr(raised.value, "errno", None) == number

    run(main, resolver=Broken())


def test_who_gives_up_ends_the_look_up() -> None:
    ended: list[str] = []

    class Slow(Table):
        async def getaddrinfo(self, *args: Any) -> Any:
            try:
                await suspend()
            except Cancelled as error:
                ended.append(str(error))
                raise

    def main() -> Steps:
        with pytest.raises(TimeoutError), timeout(0.01):
            yield from addr(NAME, 80)
        thread = newthread(addr, NAME, 80, name="a lookup")
        thread.cancel()
        with suppress(Cancelled):
            yield from thread.join()

    run(main, resolver=Slow())
    assert ended == ["timed out", "a lookup was cancelled"]


def test_it_is_asked_until_run_or_start_has_ended() -> None:
    table, other = Plain("192.0.2.1"), Plain("192.0.2.2")
    ips: list[str] = []

    def look() -> Steps:
        ips.append((yield from addr(NAME, 80))[0].host)

    def two() -> Steps:
        yield from look()
        with pytest.raises(RuntimeError):
            run(look, resolver=other)
        yield from look()

    run(two, resolver=table)

    def later() -> Steps:
        yield from sleep(0)
        yield from look()

    newthread(later)
    assert start(resolver=other)
    assert ips == ["192.0.2.1", "192.0.2.1", "192.0.2.2"]

    def nobody() -> Steps:
        with pytest.raises(AssertionError, match="somebody else was asked"):
            yield from addr(NAME, 80)

    run(nobody)

    def fail() -> Steps:
        yield from sleep(0)
        raise KeyError

    with pytest.raises(KeyError):
        run(fail, resolver=table)
    run(nobody)


def test_all_os_threads_that_serve_together_ask_it() -> None:
    table = Plain("192.0.2.1")
    ips: list[str] = []

    def look() -> Steps:
        yield from sleep(0)
        ips.append((yield from addr(NAME, 80))[0].host)

    for _ in range(20):
        newthread(look)
    assert serve_threads(3, resolver=table)
    assert ips == ["192.0.2.1"] * 20


def test_a_name_is_not_bound_past_it() -> None:
    def main() -> Steps:
        yield from sleep(0)
        with tcp() as sock, pytest.raises(ValueError, match="has to be looked up"):
            sock.bind(NAME, 80)

    run(main, resolver=Plain())


@pytest.mark.parametrize("wrong", [object(), "8.8.8.8", lambda host: host])
def test_what_is_no_resolver(wrong: Any) -> None:
    with pytest.raises(TypeError, match=r"getaddrinfo\(\) and getnameinfo\(\)"):
        run(sleep, 0, resolver=wrong)
    with pytest.raises(TypeError, match=r"getaddrinfo\(\) and getnameinfo\(\)"):
        start(resolver=wrong)
