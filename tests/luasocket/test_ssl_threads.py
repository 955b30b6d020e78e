"""LuaSec's connections in threads: both directions at once, cancellation, and close()."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import socket2
from socket2 import luasocket
from socket2.luasocket.ssl import connection as module

from ..interop.peers import LIMIT_S, run
from ..tls.certificates import Authority
from .ciphered import both, shaken


def test_one_thread_receives_while_another_sends(authority: Authority) -> None:
    data = bytes(range(256)) * 10_000

    async def main() -> None:
        with both(authority) as (client, server):
            await shaken(client, server)
            threads = [socket2.newthread(one.send(data)) for one in (client, server)]
            for one in (client, server):
                assert await one.receive(len(data)) == (data, None, None)
            for thread in threads:
                assert await thread.join() == (len(data), None, None)

    run(main)


def test_a_send_that_is_cancelled_can_be_followed_by_another(authority: Authority) -> None:
    data = bytes(20_000_000)

    async def main() -> None:
        with both(authority) as (client, server):
            await shaken(client, server)
            thread = socket2.newthread(client.send(data))
            assert len((await server.receive(1000))[0]) == 1000
            thread.cancel()
            with pytest.raises(socket2.Cancelled) as cancelled:
                await thread.join()
            sent = socket2.bytes_sent(cancelled.value)
            last = socket2.newthread(client.send(b"the end"))
            assert await server.receive(sent - 1000) == (data[: sent - 1000], None, None)
            assert await server.receive(7) == (b"the end", None, None)
            assert await last.join() == (7, None, None)

    run(main)


def test_a_send_after_wantwrite_must_go_on_with_the_same_data(authority: Authority) -> None:
    data = bytes(range(250)) * 100_000

    async def main() -> None:
        with both(authority) as (client, server):
            await shaken(client, server)
            client.settimeout(0)
            last, err, sent = await client.send(data)
            assert (last, err, client.want()) == (None, "wantwrite", "write")
            assert await client.send(b"other data") == (None, "bad write retry", 0)
            assert await client.send(data[sent : sent + 1]) == (None, "bad write retry", 0)
            client.settimeout(None)
            rest = socket2.newthread(client.send(data, sent + 1))
            assert await server.receive(len(data)) == (data, None, None)
            assert await rest.join() == (len(data), None, None)

    run(main)


def test_a_call_that_waits_returns_closed(authority: Authority) -> None:
    async def main() -> None:
        with both(authority) as (client, server):
            await shaken(client, server)
            receiving = socket2.newthread(client.receive())
            await socket2.sleep(0)
            with pytest.raises(socket2.Busy):
                await client.receive()
            with pytest.raises(socket2.Busy):
                await luasocket.select([client])
            assert not client.dirty()
            client.close()
            assert await receiving.join() == (None, "closed", b"")
            assert await server.receive() == (None, "closed", b"")

    run(main)


def test_a_call_that_waits_returns_closed_although_something_is_left_to_send(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "GOODBYE_S", 2 * LIMIT_S)

    async def main() -> None:
        with both(authority) as (client, server):
            await shaken(client, server)
            client.settimeout(0)
            assert (await client.send(bytes(20_000_000)))[1] == "wantwrite"
            client.settimeout(None)
            receiving = socket2.newthread(client.receive())
            await socket2.sleep(0)
            client.close()
            assert await receiving.join() == (None, "closed", b"")

    run(main)


def test_a_close_notify_that_came_with_the_data_is_seen_by_select(authority: Authority) -> None:
    async def main() -> None:
        with both(authority) as (client, server):
            await shaken(client, server)
            await server.send(b"data\n")
            server.shutdown("send")
            assert await client.receive() == (b"data", None, None)
            assert client.dirty()
            assert await luasocket.select([client], None, 0) == ([client], [], None)
            assert await client.receive() == (None, "closed", b"")

    run(main)


def test_a_handshake_that_cannot_send_can_be_continued(authority: Authority) -> None:
    """The server has a long chain of certificates, and the socket takes little of it."""
    own, more = authority.ours.read_text(), authority.file.read_text() * 60
    path = authority.folder / "long.pem"
    path.write_text(own + more)

    async def main() -> None:
        with both(authority, small=True, certificate=path, key=path) as (client, server):
            shaking = socket2.newthread(client.dohandshake())
            server.settimeout(0)
            wanted = []
            while not (done := await server.dohandshake())[0]:
                assert done[1] == f"want{server.want()}"
                wanted.append(server.want())
                reading = server.want() == "read"
                await luasocket.select([server] if reading else None, None if reading else [server])
            assert "write" in wanted
            assert await shaking.join() == (True, None)
            chain, _ = client.getpeerchain()
            assert chain is not None
            assert len(chain) == 61

    run(main)


def test_a_handshake_that_is_cancelled_can_be_continued(authority: Authority) -> None:
    async def main() -> None:
        with both(authority) as (client, server):
            shaking = socket2.newthread(client.dohandshake())
            await socket2.sleep(0)
            with pytest.raises(socket2.Busy):
                await client.dohandshake()
            shaking.cancel()
            with pytest.raises(socket2.Cancelled):
                await shaking.join()
            await shaken(client, server)
            assert server.getsniname() is None

    run(main)


@pytest.mark.parametrize("receives", [True, False])
def test_close_in_a_thread_waits_for_nobody(
    authority: Authority, receives: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The close_notify goes behind the data, as soon as the peer has taken that; but not for ever."""
    monkeypatch.setattr(module, "GOODBYE_S", LIMIT_S if receives else 0)

    async def main() -> None:
        with both(authority) as (client, server):
            await shaken(client, server)
            client.settimeout(0)
            sent = (await client.send(bytes(20_000_000)))[2]
            client.close()
            assert client.getfd() == -1
            assert await client.send(b"x") == (None, "closed", 0)
            if not receives:
                await socket2.sleep(0)  # the other thread gives up now
            data, err, partial = await server.receive("*a")
            assert err == (None if receives else "unexpected eof while reading")
            assert len(data or partial) >= sent

    run(main)


def test_close_in_a_script_sends_what_is_left(authority: Authority) -> None:
    def receive() -> Iterator[Any]:
        data, err, _ = yield from server.receive("*a")
        assert len(data) >= sent
        assert err is None

    with both(authority) as (client, server):
        for one in (client, server, client, server):
            one.settimeout(0)
            one.dohandshake()
        sent = _results(client.send(bytes(20_000_000)))[2]
        server.settimeout(None)
        receiving = socket2.newthread(receive)  # it runs while close() waits
        client.close()
        socket2.run(receiving.join())


def _results(made: Any) -> tuple[Any, ...]:
    """Return the results of a call that a script has made."""
    assert isinstance(made, tuple)
    return made
