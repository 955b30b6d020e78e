"""recv(), recv_into() and sendall() of TLS in C: like those in Python, to which they hand over all unusual cases."""

from __future__ import annotations

import gc
import sys
import warnings
from array import array
from typing import Any

import pytest

from socket2 import TLS, Busy, Cancelled, newthread, run, sleep, stream
from socket2.threads.chain import links_of
from socket2.threads.wait import Wait
from socket2.tls import lane as lane_module
from socket2.tls import layer

from ..interop.peers import pattern
from .certificates import Authority, versions
from .ends import Steps, shaken, tls

pytestmark = pytest.mark.skipif(layer._records is None, reason="the part in C is not built, or switched off")


def is_in_c(op: Any) -> bool:
    made = type(op).__flags__ & (1 << 8) != 0 and hasattr(type(op), "gi_yieldfrom")  # an immutable type
    op.close()
    return made


def test_which_calls_are_made_in_c(authority: Authority) -> None:
    with tls(authority) as (client, _):
        assert is_in_c(client.recv())
        assert is_in_c(client.recv(1))
        assert is_in_c(client.sendall(b"x"))
        buffer = bytearray(9)
        assert is_in_c(client.recv_into(buffer))
        assert is_in_c(client.recv_into(buffer, None))
        assert is_in_c(client.recv_into(memoryview(buffer), 3))
        assert is_in_c(client.sendall(buffer))
        assert is_in_c(client.sendall(memoryview(b"data")))
        for op in (client.recv(0), client.recv(True), client.sendall(b""), client.sendall(bytearray())):
            assert not is_in_c(op)
        assert not is_in_c(client.recv_into(array("i", [1])))
        assert not is_in_c(client.recv_into(bytearray()))
        assert not is_in_c(client.sendall(array("i", [1])))
        assert not is_in_c(client.sendall(memoryview(b"data")[::2]))
        assert is_in_c(client.sendall(bytes(1 << 16)))
        assert not is_in_c(client.sendall(bytes((1 << 16) + 1)))
        with pytest.raises(ValueError, match="negative"):
            client.recv(-1)
        with pytest.raises(TypeError):
            client.recv("1")  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            client.recv(n=1)  # type: ignore[call-arg]
        with pytest.raises(TypeError):
            client.sendall("text")  # type: ignore[arg-type]
    assert TLS.recv.__doc__ is not None
    assert TLS.recv.__name__ == "recv"


def test_a_timeout_is_around_an_operation_in_c(authority: Authority) -> None:
    with tls(authority, room=30) as (client, server):

        def main() -> Steps:
            yield from shaken(client, server)
            for one in (client, server):
                one.settimeout(60)
            receiving = newthread(server.recv())
            assert any(repr(link) == "<operation TLS.recv, awaited>" for link in links_of(receiving._coro))
            server.settimeout(0.0)
            with pytest.raises(Busy):
                yield from server.recv()
            yield from client.sendall(b"12345678")
            assert (yield from receiving.join()) == b"12345678"
            with pytest.raises(TimeoutError):
                yield from server.recv()
            client.settimeout(0.0, "write")
            with pytest.raises(TimeoutError) as failure:
                yield from client.sendall(b"sent in parts")
            assert failure.value.bytes_sent == 13  # type: ignore[attr-defined]
            server.settimeout(None)
            sending = newthread(client.finish())
            assert (yield from stream(server).recvn(13)) == b"sent in parts"
            yield from newthread(server.finish()).join()
            yield from sending.join()

        run(main)


def test_a_finalizer_changes_the_timeout_while_an_operation_is_made(authority: Authority) -> None:
    """CPython 3.11 may collect garbage there."""

    class Changes:
        def __init__(self) -> None:
            self.cycle = self

        def __del__(self) -> None:
            server.settimeout(None)

    with tls(authority) as (_, server):
        many = [server.recv() for _ in range(300)]  # more than are kept for reuse
        server.settimeout(60)
        Changes()
        was = gc.get_threshold()
        gc.set_threshold(1)
        try:
            many.append(server.recv())
        finally:
            gc.set_threshold(*was)
        for op in many:
            op.close()


@versions
def test_an_operation_is_a_generator(authority: Authority, version: str) -> None:
    with tls(authority, version=version, room=10) as (client, server):

        def main() -> Steps:
            yield from shaken(client, server)
            sending: Any = client.sendall(b"some data")
            assert "not begun" in repr(sending)
            steps = iter(sending)
            yielded = next(steps)
            assert "awaited" in repr(sending)
            with pytest.raises(RuntimeError, match="is being"):
                iter(sending)
            with pytest.raises(Busy):
                yield from client.sendall(b"x")
            with pytest.raises(LookupError) as failure:
                steps.throw(LookupError("thrown"))
            assert failure.value.bytes_sent == 9  # type: ignore[attr-defined]
            assert yielded is not None
            with pytest.raises(RuntimeError, match="has been"):
                iter(sending)
            assert next(steps, "over") == "over"
            receiving = newthread(server.recv())
            other = newthread(client.sendall(b"!"))
            received = yield from receiving.join()
            while len(received) < 10:
                received += yield from server.recv()
            assert received == b"some data!"
            yield from other.join()

        run(main)


@pytest.mark.parametrize("how", ["close", "drop", "throw"])
def test_an_operation_that_is_given_up_frees_its_direction(authority: Authority, how: str) -> None:
    with tls(authority, room=30) as (client, server):

        def give_up(op: Any) -> None:
            steps = iter(op)
            next(steps)
            if how == "close":
                steps.close()
            elif how == "throw":
                with pytest.raises(Cancelled):
                    steps.throw(Cancelled("c"))

        def main() -> Steps:
            yield from shaken(client, server)
            give_up(server.recv())
            give_up(client.sendall(b"sent in parts"))  # room for 30 bytes of 35
            gc.collect()
            sending = newthread(client.sendall(b"!"))
            assert (yield from stream(server).recvn(14)) == b"sent in parts!"
            yield from sending.join()

        run(main)


def test_an_operation_that_has_not_begun(authority: Authority) -> None:
    with tls(authority) as (client, server):

        def main() -> Steps:
            yield from shaken(client, server)
            makers: list[Any] = [server.recv, lambda: client.sendall(b"x")]
            for make in makers:
                with pytest.raises(KeyError):
                    iter(make()).throw(KeyError("k"))
                with pytest.raises(TypeError, match="non-None"):
                    iter(make()).send(1)
                make().close()
            yield from client.sendall(b"data")
            assert (yield from server.recv()) == b"data"

        run(main)


def test_one_that_nobody_awaits_is_reported(authority: Authority) -> None:
    with tls(authority) as (client, _):
        for make, name in ((client.recv, "recv"), (lambda: client.sendall(b"x"), "sendall")):
            with pytest.warns(RuntimeWarning, match=rf"{name}\S* was never awaited|never awaited"):
                make()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            client.recv().close()


def test_the_chain_of_coroutines_goes_through_it(authority: Authority) -> None:
    with tls(authority) as (client, server):

        async def receive() -> bytes:
            return await server.recv()

        def main() -> Steps:
            receiving = newthread(receive, name="the receiver")
            yield from shaken(client, server)
            yield from sleep(0)
            waiting = newthread(receive(), name="another")
            with pytest.raises(Busy, match="the receiver"):
                yield from waiting.join()
            assert len(list(links_of(receiving._coro))) >= 3
            yield from client.sendall(pattern(90, 100))
            assert (yield from receiving.join()) == pattern(90, 100)

        run(main)


def test_the_garbage_collector_finds_what_it_has(authority: Authority) -> None:
    """It must not visit a lane more often than there are references to it: it would clear one that is in use."""
    with tls(authority) as (client, server):

        def main() -> Steps:
            yield from shaken(client, server)
            yield from client.sendall(b"data")
            assert (yield from server.recv()) == b"data"
            receiving = newthread(server.recv())
            lane = server._receiving
            in_use = sys.getrefcount(lane)
            found = [one for link in links_of(receiving._coro) for one in gc.get_referents(link) if one is lane]
            assert len(found) == 1
            del found
            gc.collect()
            yield from client.sendall(b"data")
            assert (yield from receiving.join()) == b"data"
            assert sys.getrefcount(lane) == in_use - 1

        run(main)


@pytest.mark.parametrize("number", [0, 1])
def test_a_handler_raises_while_the_waiting_are_woken(
    number: int, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It raises instead of a wake(), or in the middle of one. All that wait for the lane are woken nevertheless."""
    with tls(authority) as (client, server):

        def main() -> Steps:
            yield from shaken(client, server)
            receiving = newthread(server.recv())
            lane = server._receiving
            waiting = [newthread(lane.changed()) for _ in range(3)]
            yield from client.sendall(b"x")
            calls: list[None] = []
            target, name = ((lane_module.Lane, "wake"), (Wait, "finish"))[number]
            real: Any = getattr(target, name)

            def interrupted(self: Any, *args: Any) -> Any:
                if self is lane or self in (lane.waiting or ()):
                    calls.append(None)
                    if len(calls) == 1 + number:
                        raise KeyError("handler")
                return real(self, *args)

            with monkeypatch.context() as patched:
                patched.setattr(target, name, interrupted)
                with pytest.raises(KeyError, match="handler"):
                    yield from receiving.join()
            for thread in waiting:
                yield from thread.join()

        run(main)


def test_a_handler_raises_as_soon_as_a_send_has_failed(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """What has left is known by then, and does not leave twice."""
    with tls(authority, room=30) as (client, server):

        def interrupted(*_: Any) -> None:
            raise KeyError("handler")

        def main() -> Steps:
            yield from shaken(client, server)
            with monkeypatch.context() as patched:
                patched.setattr(TLS, "_send_failed", interrupted)
                sending = newthread(client.sendall(b"sent in parts"))
                yield from sleep(0)
                sending.cancel()
                with pytest.raises(KeyError, match="handler"):
                    yield from sending.join()
            assert client._unsent
            finishing = newthread(client.finish())
            assert (yield from stream(server).recvn(13)) == b"sent in parts"
            yield from newthread(server.finish()).join()
            yield from finishing.join()

        run(main)
