"""open_file(): Python's file objects with operations, in order, and none cut short."""

from __future__ import annotations

import io
import os
import pty
import threading
from collections.abc import Callable, Generator
from pathlib import Path
from typing import IO, Any, cast

import pytest

from socket2 import Cancelled, File, currentthread, newthread, open_file, run, sleep, socketpair, timeout

from ..conftest import descriptors

Steps = Generator[Any, Any, Any]

pytestmark = pytest.mark.usefixtures("poller")


class Slow(io.BytesIO):
    """A file whose reads wait until they are let go."""

    name = "slow"
    mode = "r+b"

    def __init__(self) -> None:
        super().__init__(b"0123456789")
        self.begun = threading.Semaphore(0)
        self.let_go = threading.Semaphore(0)

    def read(self, n: int | None = -1, /) -> bytes:
        self.begun.release()
        assert self.let_go.acquire(timeout=20)
        return super().read(n)


def slow() -> tuple[Slow, File[bytes]]:
    wrapped = Slow()
    return wrapped, File(cast(IO[bytes], wrapped))


def begun(wrapped: Slow) -> Steps:
    while not wrapped.begun.acquire(blocking=False):
        yield from sleep(0.001)


def test_text(tmp_path: Path) -> None:
    path = tmp_path / "text"

    def main() -> Steps:
        file = yield from open_file(path, "w", encoding="utf-8", newline="")
        with file:
            assert file.name == str(path)
            assert file.mode == "w"
            assert (yield from file.write("grün\r\n")) == 6
            yield from file.writelines(["blue\n", "red"])
            yield from file.flush()
            assert path.read_bytes() == "grün\r\nblue\nred".encode()
        assert file.closed
        file = yield from open_file(path, encoding="utf-8")
        with file:
            assert (yield from file.readline()) == "grün\n"
            at = yield from file.tell()
            assert (yield from file.read()) == "blue\nred"
            assert (yield from file.read()) == ""
            assert (yield from file.seek(at)) == at
            assert (yield from file.readlines()) == ["blue\n", "red"]

    run(main)


def test_bytes(tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(b"0123456789")

    def main() -> Steps:
        before = descriptors()
        file = yield from open_file(path, "r+b")
        with file:
            assert (yield from file.read(3)) == b"012"
            buffer = bytearray(4)
            assert (yield from file.readinto(buffer)) == 4
            assert buffer == b"3456"
            assert (yield from file.seek(-1, os.SEEK_END)) == 9
            assert (yield from file.write(memoryview(b"abc"))) == 3
            assert (yield from file.truncate(11)) == 11
            os.fstat(file.fileno())
            yield from file.close()
            assert file.closed
            yield from file.close()
            with pytest.raises(ValueError, match="closed file"):
                yield from file.read()
            with pytest.raises(ValueError, match="closed file"):
                file.fileno()
        assert path.read_bytes() == b"012345678ab"
        assert descriptors() == before

    def started() -> Steps:
        yield from sleep(0)
        yield from main()

    run(started)


def test_in_an_async_function(tmp_path: Path) -> None:
    path = tmp_path / "lines"

    async def main() -> None:
        async with await open_file(path, "w") as file:
            await file.write("one\ntwo\n")
        async with await open_file(path) as lines:
            assert [line async for line in lines] == ["one\n", "two\n"]
        assert lines.closed
        async with await open_file(path, "rb") as binary:
            assert [line async for line in binary] == [b"one\n", b"two\n"]

    run(main)


def test_operations_are_made_in_the_order_of_their_calls(tmp_path: Path) -> None:
    path = tmp_path / "order"

    def main() -> Steps:
        file = yield from open_file(path, "w")
        with file:
            threads = [newthread(file.write, f"{number}\n") for number in range(50)]
            for thread in threads:
                yield from thread.join()
        assert path.read_text() == "".join(f"{number}\n" for number in range(50))

    run(main)


# What is cancelled.


def ends_with_cancelled(done: list[Any], make: Callable[[], Any]) -> Steps:
    done.append((yield from make()))
    yield from sleep(60)


def test_a_read_that_has_begun_delivers_its_data_and_then_the_cancellation() -> None:
    def main() -> Steps:
        wrapped, file = slow()
        done: list[bytes] = []
        reading = newthread(ends_with_cancelled, done, lambda: file.read(4))
        yield from begun(wrapped)
        reading.cancel()
        yield from sleep(0)
        assert not reading.done
        wrapped.let_go.release()
        with pytest.raises(Cancelled):
            yield from reading.join()
        assert done == [b"0123"]
        wrapped.let_go.release()
        assert (yield from file.read()) == b"456789"
        yield from file.close()

    run(main)


def test_a_read_that_fails_after_its_cancellation_raises_its_error() -> None:
    def main() -> Steps:
        wrapped, file = slow()

        def fails() -> Steps:
            with pytest.raises(ValueError, match="closed file"):
                yield from file.read()
            yield from sleep(60)

        reading = newthread(fails)
        yield from begun(wrapped)
        reading.cancel()
        yield from sleep(0)
        wrapped.close()
        wrapped.let_go.release()
        with pytest.raises(Cancelled):
            yield from reading.join()
        yield from file.close()

    run(main)


def test_a_read_that_has_begun_outlasts_a_timeout() -> None:
    def main() -> Steps:
        wrapped, file = slow()

        def let_go_later(block: timeout) -> Steps:
            yield from begun(wrapped)
            block.arm(currentthread().scheduler.now())  # not earlier: a busy machine starts an OS thread late
            while not block.expired:
                yield from sleep(0.001)
            yield from sleep(0)
            wrapped.let_go.release()

        with timeout(60) as block:
            newthread(let_go_later, block)
            assert (yield from file.read(4)) == b"0123"
        assert block.expired
        with pytest.raises(TimeoutError):
            with timeout(60) as block:
                newthread(let_go_later, block)
                yield from file.read(4)
                yield from sleep(60)
        yield from sleep(0)
        yield from file.close()

    run(main)


def test_an_operation_that_waits_for_its_turn_does_nothing_if_it_is_cancelled() -> None:
    def main() -> Steps:
        wrapped, file = slow()
        first = newthread(file.read, 4)
        yield from begun(wrapped)
        second = newthread(file.write, b"never")
        third = newthread(file.tell)
        yield from sleep(0)
        second.cancel()
        with pytest.raises(Cancelled):
            yield from second.join()
        wrapped.let_go.release()
        assert (yield from first.join()) == b"0123"
        assert (yield from third.join()) == 4
        assert wrapped.getvalue() == b"0123456789"
        yield from file.close()

    run(main)


def test_close_waits_for_what_has_begun_and_is_not_cut_short() -> None:
    def main() -> Steps:
        wrapped, file = slow()
        reading = newthread(file.read, 4)
        yield from begun(wrapped)
        closing = newthread(file.close)
        yield from sleep(0)
        closing.cancel()
        yield from sleep(0)
        assert not closing.done
        wrapped.let_go.release()
        assert (yield from reading.join()) == b"0123"
        yield from closing.join()
        assert wrapped.closed

    run(main)


def test_leaving_the_block_while_another_thread_reads() -> None:
    def main() -> Steps:
        wrapped, file = slow()
        with file:
            reading = newthread(file.read, 4)
            yield from begun(wrapped)
            later = newthread(file.read, 4)
            yield from sleep(0)
        assert file.closed
        assert not wrapped.closed
        wrapped.let_go.release()
        assert (yield from reading.join()) == b"0123"
        with pytest.raises(ValueError, match="closed file"):
            yield from later.join()
        assert wrapped.closed

    run(main)


def test_a_cancelled_opening_leaves_no_open_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()

    def opens() -> Steps:
        file = yield from open_file(path)
        with file:
            yield from sleep(60)

    def main() -> Steps:
        yield from sleep(0)
        before = descriptors()
        for wait in (0, 1, 2, 3):
            opening = newthread(opens)
            for _ in range(wait):
                yield from sleep(0)
            opening.cancel()
            with pytest.raises(Cancelled):
                yield from opening.join()
        assert descriptors() == before

    run(main)


def test_a_coroutine_that_is_dropped_closes_its_file(tmp_path: Path) -> None:
    async def holds(file: File[str]) -> None:
        async with file:
            await sleep(60)

    def main() -> Steps:
        file = yield from open_file(tmp_path / "file", "w")
        yield from file.write("text")
        coroutine = holds(file)
        coroutine.send(None)
        coroutine.close()
        assert file.closed
        assert (tmp_path / "file").read_text() == "text"

    run(main)


# What cannot be opened.


def test_errors_of_opening(tmp_path: Path) -> None:
    def main() -> Steps:
        with pytest.raises(FileNotFoundError):
            yield from open_file(tmp_path / "missing")
        with pytest.raises(IsADirectoryError):
            yield from open_file(tmp_path)
        with pytest.raises(ValueError, match="mode"):
            yield from open_file(tmp_path / "file", "q")

    run(main)


def test_what_may_block_for_ever_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    master, slave = pty.openpty()

    def main() -> Steps:
        yield from sleep(0)
        before = descriptors()
        with pytest.raises(io.UnsupportedOperation, match=r"is a FIFO: use fd_stream\(\)"):
            yield from open_file(tmp_path / "fifo")
        with pytest.raises(io.UnsupportedOperation, match="is a terminal"):
            yield from open_file(os.ttyname(slave), "rb", 0)
        assert descriptors() == before
        file = yield from open_file(os.devnull, "rb")
        with file:
            assert os.get_blocking(file.fileno())
            assert (yield from file.read()) == b""

    run(main)
    os.close(master)
    os.close(slave)


def test_outside_a_thread(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="only inside a thread"):
        open_file(tmp_path / "file")


def test_a_file_says_what_it_is(tmp_path: Path) -> None:
    def main() -> Steps:
        file = yield from open_file(tmp_path / "file", "wb")
        with file:
            assert repr(file) == f"<File {str(tmp_path / 'file')!r}, mode 'wb'>"
        assert repr(file).endswith(", closed>")

    run(main)


def test_a_socket_sends_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")

    async def main() -> None:
        here, there = socketpair()
        async with await open_file(path, "rb") as file:
            with here, there:
                assert await here.sendfile(file, 2, 5) == 5
                assert await there.recv(100) == b"23456"
                assert await file.tell() == 7
                async with await open_file(path) as text:
                    with pytest.raises(ValueError, match="binary mode"):
                        here.sendfile(text)  # type: ignore[arg-type]

    run(main)
