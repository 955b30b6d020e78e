"""What crosses between trio's tasks and our threads: results, errors, cancellations, deadlines, context variables."""

from __future__ import annotations

import contextvars
import gc
from collections.abc import Callable, Generator
from typing import Any

import pytest
import sniffio
import trio

import socket2
from socket2.guests.trio import of, trio_run, wait

Steps = Generator[Any, None, Any]
variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="")


def in_trio(async_fn: Callable[..., Any], *args: Any) -> Any:
    return socket2.run(trio_run, async_fn, *args)


def test_a_result() -> None:
    async def main(number: int) -> int:
        await trio.sleep(0)
        return number

    assert in_trio(main, 42) == 42


def test_an_error() -> None:
    async def main() -> None:
        await trio.sleep(0)
        raise ArithmeticError("in trio")

    with pytest.raises(ArithmeticError, match="in trio"):
        in_trio(main)


def test_an_async_program_of_ours_awaits_trio() -> None:
    async def main() -> int:
        async def five() -> int:
            return 5

        return await trio_run(five)

    assert socket2.run(main) == 5


def test_sockets_of_both() -> None:
    async def client(port: int) -> bytes:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(b"hello")
            await stream.send_eof()
            return b"".join([chunk async for chunk in stream])

    def echo(listener: Any) -> Steps:
        with (yield from listener.accept()) as sock:
            while data := (yield from sock.recv(100)):
                yield from sock.sendall(data)

    def host() -> Steps:
        with socket2.listen("127.0.0.1", 0) as listener:
            echoing = socket2.newthread(echo, listener)
            answer = yield from trio_run(client, listener.getsockname()[1])
            yield from echoing.join()
            return answer

    assert socket2.run(host) == b"hello"


def test_of_each_kind_of_function() -> None:
    def generator(number: int) -> Steps:
        yield from socket2.sleep(0)
        return number

    async def coroutine(number: int) -> int:
        await socket2.sleep(0)
        return number

    def fails() -> Steps:
        yield from socket2.sleep(0)
        raise ArithmeticError("in a thread")

    async def main() -> list[Any]:
        with pytest.raises(ArithmeticError, match="in a thread"):
            await of(fails)
        with pytest.raises(TypeError):
            await of(generator)  # type: ignore[call-arg, arg-type]
        return [
            await of(generator, 1),
            await of(generator(2)),
            await of(coroutine, 3),
            await of(coroutine(4)),
            await of(socket2.sleep, 0),
            await of(socket2.Event().set),
            await of(socket2.call_in_thread, str, 5),
        ]

    assert in_trio(main) == [1, 2, 3, 4, None, None, "5"]


def test_wait() -> None:
    async def in_it(number: int) -> int:
        await trio.sleep(0)
        if number < 0:
            raise ArithmeticError("in trio")
        return number

    def thread() -> Steps:
        with pytest.raises(ArithmeticError, match="in trio"):
            yield from wait(in_it, -1)
        return (yield from wait(in_it, 5))

    async def main() -> Any:
        return await of(thread)

    assert in_trio(main) == 5


def test_context_variables_follow() -> None:
    async def in_it() -> str:
        return variable.get()

    def thread() -> Steps:
        seen = [variable.get()]
        variable.set("thread")
        seen.append((yield from wait(in_it)))
        return seen

    async def main() -> list[str]:
        seen = [variable.get()]
        variable.set("task")
        return [*seen, *(await of(thread)), variable.get()]

    def host() -> Steps:
        variable.set("host")
        return (yield from trio_run(main))

    assert socket2.run(host) == ["host", "task", "thread", "task"]


def test_sniffio_names_the_library_that_runs() -> None:
    names: list[str] = []

    def asks() -> Steps:
        names.append(sniffio.current_async_library())
        yield from socket2.sleep(0)
        names.append(sniffio.current_async_library())

    async def main() -> None:
        names.append(sniffio.current_async_library())
        await of(asks)
        names.append(sniffio.current_async_library())

    def host() -> Steps:
        names.append(sniffio.current_async_library())
        yield from trio_run(main)
        names.append(sniffio.current_async_library())

    socket2.run(host)
    assert names == ["socket2", "trio", "socket2", "socket2", "trio", "socket2"]
    with pytest.raises(sniffio.AsyncLibraryNotFoundError):
        sniffio.current_async_library()


# Cancellations.


def test_a_cancelled_task_cancels_its_thread() -> None:
    ended: list[str] = []

    def thread() -> Steps:
        try:
            yield from socket2.suspend()
        except socket2.Cancelled:
            yield from socket2.sleep(0.01)
            ended.append("thread")
            raise

    async def main() -> bool:
        with trio.move_on_after(0.01) as scope:
            await of(thread)
        ended.append("task")
        return scope.cancelled_caught

    assert in_trio(main)
    assert ended == ["thread", "task"]


def test_a_thread_that_ends_all_the_same_delivers_its_result() -> None:
    def thread() -> Steps:
        with_result = 5
        try:
            yield from socket2.suspend()
        except socket2.Cancelled:
            return with_result

    async def main() -> Any:
        with trio.CancelScope() as scope:
            scope.deadline = trio.current_time() + 0.01
            result = await of(thread)
            with pytest.raises(trio.Cancelled):
                await trio.sleep(0)
        return result

    assert in_trio(main) == 5


def test_a_task_that_was_cancelled_before_starts_nothing() -> None:
    async def main() -> bool:
        with trio.CancelScope() as scope:
            scope.cancel()
            await of(pytest.fail, "it was started")
        one, other = socket2.socketpair()
        with one, other, trio.CancelScope() as second:
            second.cancel()
            await of(one.recv(10))  # it is dropped without a warning
        return scope.cancelled_caught and second.cancelled_caught

    assert in_trio(main)
    gc.collect()


def test_a_cancelled_thread_cancels_its_task() -> None:
    ended: list[str] = []

    async def in_it() -> None:
        try:
            await trio.sleep_forever()
        finally:
            with trio.CancelScope(shield=True):
                await trio.sleep(0.01)
            ended.append("task")

    def thread() -> Steps:
        try:
            yield from wait(in_it)
        finally:
            ended.append("thread")

    async def main() -> None:
        waiting = socket2.newthread(thread)
        await trio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(socket2.Cancelled):
            await of(waiting.join())

    in_trio(main)
    assert ended == ["task", "thread"]


def test_a_task_that_ends_all_the_same_delivers_its_result() -> None:
    async def in_it() -> int:
        try:
            await trio.sleep_forever()
        except trio.Cancelled:
            pass
        return 5

    def thread() -> Steps:
        with socket2.move_on_after(0.01) as scope:
            result = yield from wait(in_it)
            with pytest.raises(socket2.Cancelled):
                yield from socket2.sleep(0)
            raise AssertionError  # it has not left the scope
        return scope, result

    async def main() -> None:
        with pytest.raises(AssertionError):
            await of(thread)

    in_trio(main)


def test_a_deadline_of_ours_ends_trio() -> None:
    ended: list[str] = []

    async def main() -> None:
        try:
            await trio.sleep_forever()
        finally:
            ended.append("trio")

    def host() -> Steps:
        with pytest.raises(TimeoutError):
            with socket2.timeout(0.01):
                yield from trio_run(main)
        ended.append("host")

    socket2.run(host)
    assert ended == ["trio", "host"]


def test_a_deadline_before_trio_has_begun() -> None:
    def host() -> Steps:
        with socket2.move_on_after(0):
            yield from trio_run(trio.sleep_forever)

    socket2.run(host)


def test_errors_of_a_nursery_stay_together() -> None:
    async def fails(error: Exception) -> None:
        raise error

    async def in_it() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(fails, ArithmeticError())
            nursery.start_soon(fails, KeyError())

    def thread() -> Steps:
        yield from wait(in_it)

    async def main() -> None:
        with pytest.raises(ExceptionGroup) as caught:
            await of(thread)
        assert {type(error) for error in caught.value.exceptions} == {ArithmeticError, KeyError}

    in_trio(main)
