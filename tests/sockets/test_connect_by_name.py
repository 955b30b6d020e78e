"""connect(), listen() and bind(): places in one string, and happy eyeballs over several addresses."""

from __future__ import annotations

import errno
import gc
import os
import pathlib
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic
from typing import Any

import pytest

import socket2
from socket2 import TCP, UDP, Address, AddressList, Cancelled, bind, connect, listen, newthread, sleep, stream, timeout
from socket2.sockets.endpoint import split
from socket2.sockets.eyeballs import interleaved
from socket2.threads.scheduler import current_scheduler

from ..conftest import descriptors
from ..interop.peers import LIMIT_S, Program, needs, refusing_port, run, swallowing
from ..machine import needs_ipv6
from .test_udp import needs_abstract, needs_unix


def at(host: str, port: int) -> Address:
    family = "inet6" if ":" in host else "inet"
    return Address(family, "tcp", "tcp", None, (host, port, 0, 0) if family == "inet6" else (host, port))


@contextmanager
def black_hole(host: str = "127.0.0.1") -> Iterator[Address]:
    """Return an address that does not answer attempts to connect."""
    with swallowing(host) as port:
        yield at(host, port)


def refusing(host: str = "127.0.0.1") -> Address:
    """An address with a port that refuses."""
    return at(host, refusing_port(host))


@pytest.fixture
def alive() -> Iterator[Address]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield at("127.0.0.1", listener.getsockname()[1])


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Address]]:
    """The names for a test: name -> addresses, which the test adds. Other names are looked up as usual."""
    known: dict[str, list[Address]] = {}
    really = socket.getaddrinfo

    def getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> Any:
        if host not in known or flags & socket.AI_NUMERICHOST:
            return really(host, port, family, type, proto, flags)
        families = {"inet": socket.AF_INET, "inet6": socket.AF_INET6}
        return [
            (families[address.family], type, proto, "", address.sockaddr)
            for address in known[host]
            if family in (0, families[address.family])
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return known


async def connected_to(where: Any, *args: Any, **options: Any) -> Any:
    """Return the peer's address of a connection, and close it."""
    with await connect(where, *args, **options) as sock:
        return sock.getpeername()


# Places.


@pytest.mark.parametrize(
    ("where", "split_up"),
    [
        (("example.org:80",), ("example.org", "80", None)),
        (("example.org:http",), ("example.org", "http", None)),
        (("192.0.2.1:80",), ("192.0.2.1", "80", None)),
        (("[2001:db8::1]:80",), ("2001:db8::1", "80", None)),
        (("[fe80::1%eth0]:80",), ("fe80::1%eth0", "80", None)),
        ((":80",), ("", "80", None)),
        (("*:80",), ("*", "80", None)),
        (("example.org", 80), ("example.org", 80, None)),
        (("2001:db8::1", 80), ("2001:db8::1", 80, None)),
        (("[2001:db8::1]", 80), ("2001:db8::1", 80, None)),
        ((b"example.org:80",), ("example.org", "80", None)),
        ((None, 80), (None, 80, None)),
        ((("192.0.2.1", 80),), (("192.0.2.1", 80), None, None)),
        (("/run/s",), ("/run/s", 0, "unix")),
        (("./s",), ("./s", 0, "unix")),
        (("/run/with:colon",), ("/run/with:colon", 0, "unix")),
        ((b"/run/s",), ("/run/s", 0, "unix")),
        ((pathlib.Path("s"),), ("s", 0, "unix")),
        (("@name",), ("\0name", 0, "unix")),
        (("\0name",), ("\0name", 0, "unix")),
        ((b"\0name",), ("\0name", 0, "unix")),
    ],
)
def test_the_form_of_a_place_tells_what_it_is(where: Any, split_up: Any) -> None:
    assert split(*where) == split_up


@pytest.mark.parametrize("where", ["example.org", "80", "", "::1", "2001:db8::1:80", "[::1]", "[::1]80", "a:", "[]:80"])
def test_what_is_no_place_is_said_at_once(where: str) -> None:
    for use in (connect, listen, bind):
        with pytest.raises(ValueError, match="has no port"):
            use(where)


def test_other_mistakes_are_said_at_once() -> None:
    mistakes: list[tuple[Callable[[], Any], type[Exception]]] = [
        (lambda: connect("127.0.0.1:65536"), OverflowError),
        (lambda: connect("127.0.0.1", 80, family="ipx"), ValueError),
        (lambda: connect("127.0.0.1", 80, delay_s=-1), ValueError),
        (lambda: connect(5, 80), TypeError),  # type: ignore[arg-type]
        (lambda: listen("127.0.0.1:0", nosuch=1), ValueError),
        (lambda: bind("127.0.0.1:0", type="raw"), ValueError),
        (lambda: bind("127.0.0.1:0", broadcast="yes"), TypeError),
        (lambda: connect(AddressList([])), ValueError),
        (lambda: listen(AddressList([])), ValueError),
    ]
    for mistake, error in mistakes:
        with pytest.raises(error):
            mistake()


# One address.


def test_connect_to_a_listener(alive: Address) -> None:
    async def main() -> None:
        for where in ((str(alive),), ("127.0.0.1", alive.port), (alive.sockaddr,), (alive,), (AddressList([alive]),)):
            assert await connected_to(*where) == alive.sockaddr

    run(main)


def test_a_generator_can_connect(alive: Address) -> None:
    def main() -> Any:
        with (yield from connect(str(alive))) as sock:
            assert sock.family == "inet"

    socket2.run(main)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST", "", None, False])
@pytest.mark.parametrize("listens_on", ["127.0.0.1", pytest.param("::1", marks=needs_ipv6)])
def test_this_host_has_two_addresses(host: Any, listens_on: str) -> None:
    """A server on either address is found without a wait: the other address refuses at once."""

    async def main() -> None:
        with listen(listens_on, 0) as listener:
            assert (await connected_to(host, listener.getsockname()[1], delay_s=1000))[0] == listens_on

    run(main)


@needs_ipv6
def test_a_family_can_be_asked_for() -> None:
    async def main() -> None:
        with listen("127.0.0.1:0") as listener:
            port = listener.getsockname()[1]
            assert (await connected_to("localhost", port, family="inet"))[0] == "127.0.0.1"
            with pytest.raises(ConnectionRefusedError):
                await connect("localhost", port, family="inet6")

    run(main)


def test_options_are_set_before_it_connects(alive: Address) -> None:
    async def main() -> None:
        with await connect(alive, nodelay=True, keepalive=True) as sock:
            assert sock.getopt("nodelay") is True
            assert sock.getopt("keepalive") is True
        with pytest.raises(ValueError, match="unknown option 'no_delay': the options are"):
            await connect(alive, no_delay=True)
        with pytest.raises(TypeError, match="nodelay takes True or False, not 'yes'"):
            await connect(AddressList([alive, refusing()]), nodelay="yes")

    run(main)


def test_one_refusing_address_is_that_error() -> None:
    where = refusing()

    async def main() -> None:
        with pytest.raises(ConnectionRefusedError) as failure:
            await connect(where)
        assert str(where) in "\n".join(failure.value.__notes__)

    run(main)


def test_a_name_that_does_not_exist() -> None:
    async def main() -> None:
        with pytest.raises(socket.gaierror):
            await connect("nosuchhost.invalid:80")

    run(main)


@needs_unix
def test_unix_paths(tmp_path: pathlib.Path) -> None:
    async def main() -> None:
        for where in (str(tmp_path / "s"), tmp_path / "p", os.fsencode(tmp_path / "b")):
            with listen(where) as listener:
                assert listener.family == "unix"
                with await connect(where) as sock, await listener.accept() as peer:
                    await sock.sendall(b"x")
                    assert await peer.recv(1) == b"x"

    run(main)


@needs_abstract
def test_abstract_names() -> None:
    async def main() -> None:
        name = f"socket2-{os.getpid()}"
        with listen(f"@{name}") as listener:
            assert listener.getsockname() == b"\0" + name.encode()
            for where in (f"@{name}", f"\0{name}", f"\0{name}".encode()):
                with await connect(where) as sock, await listener.accept():
                    assert sock.family == "unix"
        with pytest.raises(ConnectionRefusedError):
            await connect(f"@{name}")

    run(main)


# Several addresses.


def test_families_take_turns_and_the_first_one_begins() -> None:
    a6, b6, c6 = (at(f"2001:db8::{n}", 80) for n in (1, 2, 3))
    a4, b4 = (at(f"192.0.2.{n}", 80) for n in (1, 2))
    assert interleaved([a6, b6, c6, a4, b4]) == [a6, a4, b6, b4, c6]
    assert interleaved([a4, a6, b6, c6]) == [a4, a6, b6, c6]
    assert interleaved([a4, b4, a4]) == [a4, b4]
    assert interleaved([]) == []


async def seconds_to(where: Any, reaching: Address) -> float:
    """Return how long connect() takes: the best of three, since the machine may be busy."""
    times = []
    for _ in range(3):
        began = monotonic()
        assert await connected_to(where) == reaching.sockaddr
        times.append(monotonic() - began)
        if times[-1] < 0.4:
            break
    return min(times)


def test_a_black_hole_costs_a_quarter_of_a_second(alive: Address) -> None:
    async def main() -> None:
        with black_hole() as hole:
            assert 0.25 <= await seconds_to(AddressList([hole, alive]), alive) < 0.4

    run(main)


@needs_ipv6
def test_a_name_whose_first_family_is_a_black_hole(names: dict[str, list[Address]], alive: Address) -> None:
    """Broken IPv6 looks like this. The third address is never tried."""

    async def main() -> None:
        with black_hole("::1") as hole, black_hole("127.0.0.1") as third:
            names["peer.test"] = [hole, alive, third]
            assert 0.25 <= await seconds_to("peer.test:80", alive) < 0.4

    run(main)


def test_the_first_address_that_answers_is_the_only_one(alive: Address) -> None:
    async def main() -> None:
        with socket.create_server(("127.0.0.1", 0)) as second:
            second.setblocking(False)
            assert await connected_to(AddressList([alive, at(*second.getsockname())])) == alive.sockaddr
            with pytest.raises(BlockingIOError):
                second.accept()

    run(main)


def test_an_address_that_refuses_costs_nothing(alive: Address) -> None:
    async def main() -> None:
        began = monotonic()
        many = AddressList([refusing(), refusing(), refusing(), alive])
        assert await connected_to(many, delay_s=LIMIT_S) == alive.sockaddr
        assert monotonic() - began < LIMIT_S / 2

    run(main)


@needs_unix
def test_a_slow_first_address_can_still_win(tmp_path: pathlib.Path) -> None:
    """Its attempt continues while others are made. A UNIX listener answers as soon as its queue has room."""

    async def main() -> None:
        with ExitStack() as stack:
            slow = stack.enter_context(listen(tmp_path / "s", backlog=0))
            first = Address("unix", "stream", 0, None, slow.getsockname())
            stack.enter_context(await connect(first))  # this fills the queue
            hole = stack.enter_context(black_hole())
            connecting = newthread(connected_to(AddressList([first, hole]), delay_s=0))
            while len(current_scheduler().threads) < 4:
                await sleep(0)
            (await slow.accept()).close()
            assert await connecting.join() == slow.getsockname()
            (await slow.accept()).close()

    run(main)


def test_when_all_refuse_that_is_the_error_and_each_is_named() -> None:
    where = [refusing(), refusing(), refusing()]

    async def main() -> None:
        with pytest.raises(ConnectionRefusedError, match="cannot connect") as failure:
            await connect(AddressList(where))
        assert failure.value.errno == errno.ECONNREFUSED
        for address in where:
            assert f"{address}: {os.strerror(errno.ECONNREFUSED)}" in str(failure.value)
        cause = failure.value.__cause__
        assert isinstance(cause, ExceptionGroup)
        assert [type(error) for error in cause.exceptions] == [ConnectionRefusedError] * 3

    run(main)


@pytest.fixture
def errors(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Addresses that fail with an errno: host -> errno, which the test adds."""
    known: dict[str, int] = {}
    really = TCP.connect

    def connect(self: TCP, host: Any, port: Any = 0) -> Any:
        if host.host in known:
            raise OSError(known[host.host], os.strerror(known[host.host]))
        return really(self, host, port)

    monkeypatch.setattr(TCP, "connect", connect)
    return known


def test_errors_of_several_kinds_are_one_os_error(errors: dict[str, int]) -> None:
    errors["192.0.2.1"] = errno.ETIMEDOUT
    where = [refusing(), at("192.0.2.1", 9)]

    async def main() -> None:
        with pytest.raises(OSError, match="cannot connect") as failure:
            await connect(AddressList(where))
        assert type(failure.value) is OSError
        assert failure.value.errno == errno.ETIMEDOUT
        cause = failure.value.__cause__
        assert isinstance(cause, ExceptionGroup)
        assert {type(error) for error in cause.exceptions} == {ConnectionRefusedError, TimeoutError}
        assert f"{where[0]}: {os.strerror(errno.ECONNREFUSED)}" in str(failure.value)
        assert f"192.0.2.1:9: {os.strerror(errno.ETIMEDOUT)}" in str(failure.value)

    run(main)


def test_a_network_that_this_host_has_not_does_not_hide_the_reason(errors: dict[str, int]) -> None:
    """IPv4 refuses and there is no IPv6: the error is ECONNREFUSED, and names both."""
    errors["192.0.2.6"] = errno.ENETUNREACH
    errors["192.0.2.7"] = errno.ENETUNREACH
    where = [at("192.0.2.6", 9), refusing()]

    async def main() -> None:
        with pytest.raises(ConnectionRefusedError, match=os.strerror(errno.ENETUNREACH)):
            await connect(AddressList(where))
        with pytest.raises(OSError, match="cannot connect") as failure:
            await connect(AddressList([where[0], at("192.0.2.7", 9)]))
        assert failure.value.errno == errno.ENETUNREACH

    run(main)


# An early end.


@pytest.fixture
def holes() -> Iterator[AddressList]:
    with black_hole() as one, black_hole() as two, black_hole() as three:
        yield AddressList([one, two, three])


def sockets() -> int:
    return sum(what.startswith("socket:") for what in descriptors().values())


def test_a_timeout_leaves_no_socket_and_no_thread(holes: AddressList) -> None:
    async def main() -> None:
        before = sockets()
        with pytest.raises(TimeoutError), timeout(0.1):
            await connect(holes, delay_s=0.01)
        assert sockets() == before
        assert len(current_scheduler().threads) == 1, "nobody but this one"

    run(main)


@pytest.mark.parametrize("turns", range(6))
def test_a_cancel_leaves_no_socket_and_no_thread(holes: AddressList, turns: int) -> None:
    async def main() -> None:
        before = sockets()
        connecting = newthread(connect(holes, delay_s=0))
        for _ in range(turns):
            await sleep(0)
        connecting.cancel()
        with pytest.raises(Cancelled):
            await connecting.join()
        assert sockets() == before
        assert len(current_scheduler().threads) == 1

    run(main)


def test_attempts_that_somebody_else_cancels_are_an_error(holes: AddressList) -> None:
    async def main() -> None:
        before = set(current_scheduler().threads)
        connecting = newthread(connect(holes, delay_s=0))
        while len(current_scheduler().threads) < len(before) + 1 + len(holes):
            await sleep(0)
        for thread in set(current_scheduler().threads) - before - {connecting}:
            thread.cancel()
        with pytest.raises(OSError, match="the attempt was cancelled") as failure:
            await connecting.join()
        assert failure.value.errno == errno.ECANCELED

    run(main)


@pytest.mark.parametrize("turns", range(8))
def test_a_cancel_about_the_time_of_success_leaks_nothing(alive: Address, turns: int) -> None:
    """The connection is either delivered or closed; it is never lost."""

    async def main() -> None:
        before = sockets()
        with black_hole() as hole:
            holding = sockets() - before
            connecting = newthread(connect(AddressList([hole, alive, hole]), delay_s=0))
            for _ in range(turns):
                await sleep(0)
            connecting.cancel()
            try:
                (await connecting.join()).close()
            except Cancelled:
                pass
            assert sockets() == before + holding
            assert len(current_scheduler().threads) == 1

    run(main)


def test_losers_are_closed_when_there_is_a_winner(alive: Address, holes: AddressList) -> None:
    async def main() -> None:
        before = sockets()
        with await connect(AddressList([*holes, alive]), delay_s=0.01):
            assert sockets() == before + 1
            assert len(current_scheduler().threads) == 1
        assert sockets() == before

    run(main)


def test_a_connect_that_is_closed_cannot_wait_and_closes_its_sockets(holes: AddressList) -> None:
    def main() -> Any:
        before = sockets()
        steps: Any = iter(connect(holes))
        next(steps)
        assert sockets() == before + 1
        steps.close()
        assert sockets() == before
        while len(current_scheduler().threads) > 1:
            yield from sleep(0)

    socket2.run(main)


@pytest.mark.parametrize("depth", range(61, 67))
def test_attempts_that_have_not_begun_are_given_up_too(alive: Address, holes: AddressList, depth: int) -> None:
    """A thread that is started deep inside the starts of others begins only at the next turn."""

    def nested(depth: int, where: Any) -> Any:
        if depth:
            return newthread(nested, depth - 1, where).result()
        return newthread(connected_to(where, delay_s=0))

    async def main() -> None:
        before = sockets()
        connecting = nested(depth, holes)
        connecting.cancel()
        with pytest.raises(Cancelled):
            await connecting.join()
        assert await nested(depth, AddressList([alive, *holes])).join() == alive.sockaddr
        assert sockets() == before
        assert len(current_scheduler().threads) == 1

    run(main)


def test_a_failure_leaves_no_cycle() -> None:
    async def main() -> None:
        with pytest.raises(ConnectionRefusedError):
            await connect(AddressList([refusing(), refusing()]))

    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        run(main)
        gc.collect()
        assert not [found for found in gc.garbage if isinstance(found, BaseException)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


# listen() and bind().


def test_listen_on_any_interface() -> None:
    for where in ((":0",), ("*:0",), (None, 0), ("", 0)):
        with listen(*where) as listener:
            assert listener.getsockname()[0] == "0.0.0.0"
            assert listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if socket.has_dualstack_ipv6():
        with listen("[::]:0", v6only=False) as listener:
            assert listener.family == "inet6"
            port = listener.getsockname()[1]
            socket.create_connection(("127.0.0.1", port)).close()


def test_a_port_in_use_is_an_error_and_leaves_no_socket() -> None:
    with listen("127.0.0.1:0") as listener:
        before = sockets()
        with pytest.raises(OSError, match=r".") as failure:
            listen(listener.getsockname())
        assert failure.value.errno == errno.EADDRINUSE
        assert sockets() == before


def test_listen_on_what_addr_found() -> None:
    async def main() -> None:
        with listen(await socket2.addr("localhost", 0)) as listener:
            assert listener.getsockname()[0] == "127.0.0.1"
        with pytest.raises(ValueError, match="yield from addr"):
            listen("peer.test:0")

    run(main)


@needs_unix
def test_a_path_that_a_dead_server_left_behind_is_taken_over(tmp_path: pathlib.Path) -> None:
    path = str(tmp_path / "s")
    listen(path).close()
    assert os.path.exists(path)
    with listen(path):
        with pytest.raises(OSError, match=r".") as failure:
            listen(path)
        assert failure.value.errno == errno.EADDRINUSE, "that one is alive"


@needs_unix
def test_a_file_that_is_no_socket_stays(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(OSError, match=r".") as failure:
        listen(path)
    assert failure.value.errno == errno.EADDRINUSE
    assert path.read_text() == "data"


def test_bind_gives_a_datagram_socket(tmp_path: pathlib.Path) -> None:
    async def main() -> None:
        with bind("127.0.0.1:0", rcvbuf=65536) as one, bind("127.0.0.1", 0) as two:
            assert isinstance(one, UDP)
            assert isinstance(two, UDP)
            await one.sendto(b"hello", two.getsockname())
            assert await two.recvfrom(10) == (b"hello", one.getsockname())
        with bind("127.0.0.1:0", type="tcp") as sock:
            assert isinstance(sock, TCP)
            assert sock.getsockname()[1] > 0
        if hasattr(socket, "AF_UNIX"):
            with bind(tmp_path / "d") as sock:
                assert sock.type == "dgram"

    run(main)


# With other programs.


def test_socat_answers_by_name() -> None:
    async def main() -> None:
        with Program(
            [needs("socat"), "-d", "-d", "TCP4-LISTEN:0,bind=127.0.0.1", "EXEC:cat"], announces="stderr"
        ) as peer:
            with await connect("localhost", peer.port(r"listening on .*:(\d+)$")) as sock:
                lines = stream(sock)
                await lines.sendall(b"over and back\n")
                lines.shutdown()
                assert [line async for line in lines] == [b"over and back"]

    run(main)


@needs_unix
def test_netcat_over_a_unix_path(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "s"

    async def main() -> None:
        with listen(path) as listener, Program([needs("nc"), "-N", "-U", str(path)], stdin=b"one\ntwo\nthr") as peer:
            with stream(await listener.accept()) as lines:
                assert await lines.recvline() == b"one"
                assert await lines.recvline() == b"two"
                with pytest.raises(socket2.IncompleteRead) as failure:
                    await lines.recvline()
                assert failure.value.partial == b"thr"
                await lines.sendall(b"bye\n")
                await lines.finish()
            assert await socket2.call_in_thread(peer.wait) == 0
            assert peer.stdout() == b"bye\n"

    run(main)
