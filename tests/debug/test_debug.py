"""What debugging reports about the threads of this process, and that it changes nothing for them."""

from __future__ import annotations

import gc
import inspect
import logging
import socket
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

import socket2
from socket2 import Cancelled, debug, newthread, run, sleep, suspend, tcp, timeout
from socket2.debug import ThreadInfo, history
from socket2.debug.listing import text_of_time

from ..interop.peers import LIMIT_S, OSThread
from ..test_tidy import fresh

Steps = Generator[Any, None, Any]


@pytest.fixture
def enabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Switch debugging on, without the parts that concern the whole process."""
    monkeypatch.setenv("SOCKET2_DEBUG_DIR", str(tmp_path / "d"))
    debug.enable(None, None, False)
    yield
    debug.disable()


@contextmanager
def pair() -> Iterator[tuple[socket2.TCP, socket2.TCP]]:
    """Two ends of a TCP connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        one = socket.create_connection(listener.getsockname())
        other, _ = listener.accept()
    with tcp(fileno=one.detach()) as left, tcp(fileno=other.detach()) as right:
        yield left, right


def about(thread: socket2.Thread) -> ThreadInfo:
    (info,) = [info for info in debug.threads() if info.thread is thread]
    return info


def during(*threads: socket2.Thread, then: Callable[[], object]) -> None:
    """Call `then` in a thread, while others wait; cancel them."""

    def main() -> Steps:
        try:
            then()
        finally:
            for thread in threads:
                thread.cancel()
        yield from sleep(0)

    run(main)


def line_of(func: Callable[..., Any], text: str) -> int:
    lines, first = inspect.getsourcelines(func)
    (at,) = [at for at, line in enumerate(lines) if text in line]
    return first + at


# What a thread waits for.


def test_a_receive_is_told_with_its_socket_and_both_addresses() -> None:
    with pair() as (conn, peer):

        def receiver() -> Steps:
            yield from conn.recv(10)

        thread = newthread(receiver, name="rx")

        def look() -> None:
            info = about(thread)
            assert (info.name, info.state) == ("rx", "waiting")
            assert (info.waits_for or "").startswith(f"recv on fd {conn.fileno()}")
            assert info.local == "{}:{}".format(*conn.getsockname())
            assert info.peer == "{}:{}".format(*peer.getsockname())
            assert info.deadline_s is None
            assert info.os_thread is None

        during(thread, then=look)


def test_a_listener_has_no_peer() -> None:
    with tcp() as listener:
        listener.listen("127.0.0.1")

        def accept() -> Steps:
            yield from listener.accept()

        thread = newthread(accept)

        def look() -> None:
            info = about(thread)
            assert (info.waits_for or "").startswith(f"accept on fd {listener.fileno()}")
            assert (info.local, info.peer) == ("{}:{}".format(*listener.getsockname()), None)

        during(thread, then=look)


def test_looking_leaves_the_socket_open_and_makes_no_descriptor() -> None:
    with pair() as (conn, peer):

        def receiver() -> Steps:
            assert (yield from conn.recv(10)) == b"still here"

        thread = newthread(receiver)

        def main() -> Steps:
            for _ in range(100):
                debug.ps()
            yield from peer.sendall(b"still here")
            yield from thread.join()

        run(main)


def test_a_sleep_a_block_and_a_socket_have_deadlines() -> None:
    with pair() as (conn, _):

        def sleeper() -> Steps:
            yield from sleep(100)

        def in_a_block() -> Steps:
            with timeout(300), timeout(200):
                yield from suspend()

        def on_a_socket() -> Steps:
            conn.settimeout(400)
            yield from conn.recv(1)

        threads = [newthread(func) for func in (sleeper, in_a_block, on_a_socket)]

        def look() -> None:
            for thread, seconds in zip(threads, (100, 200, 400), strict=True):
                deadline_s = about(thread).deadline_s
                assert deadline_s is not None
                assert seconds - 60 < deadline_s <= seconds
            assert about(threads[0]).waits_for == "sleep of 100 s"
            assert about(threads[1]).waits_for == "suspended"

        during(*threads, then=look)


def test_a_deadline_that_is_past_is_told_no_more() -> None:
    def worker() -> Steps:
        with timeout(100):
            yield from sleep(0)
        yield from suspend()

    thread = newthread(worker)

    def main() -> Steps:
        while about(thread).waits_for != "suspended":
            yield from sleep(0)
        assert about(thread).deadline_s is None
        thread.cancel()
        yield from sleep(0)

    run(main)


def test_a_thread_that_is_ready_and_one_that_has_ended() -> None:
    def main() -> Steps:
        def waits() -> Steps:
            yield from suspend()

        thread = newthread(waits)
        socket2.resume(thread)
        assert about(thread).state == "ready"
        yield from thread.join()
        assert debug.where(thread) == f"thread '{waits.__qualname__}', ended\n"
        assert thread not in [info.thread for info in debug.threads()]

    run(main)


# Where it is.


def test_the_chain_of_generators() -> None:
    def outer() -> Steps:
        yield from middle()  # here: outer

    def middle() -> Steps:
        yield from sleep(100)  # here: middle

    thread = newthread(outer)

    def look() -> None:
        info = about(thread)
        ours = [(place.function.rpartition(".")[2], place.line) for place in info.stack if not place.inside]
        assert ours == [("outer", line_of(outer, "# here")), ("middle", line_of(middle, "# here"))]
        assert {place.file for place in info.stack if not place.inside} == {__file__}
        assert info.stack[-1].inside
        assert info.at == [place for place in info.stack if not place.inside][-1]
        text = debug.where(thread)
        assert f'File "{__file__}", line {line_of(middle, "# here")}, in ' in text
        assert "yield from sleep(100)  # here: middle" in text

    during(thread, then=look)


def test_the_chain_of_coroutines_and_async_generators() -> None:
    class Awaitable:
        def __await__(self) -> Steps:
            yield from suspend()

    async def numbers() -> AsyncIterator[int]:
        await Awaitable()
        yield 1

    async def outer() -> None:
        async for _ in numbers():
            pass

    async def by_anext() -> None:
        await anext(aiter(numbers()), None)

    async def by_wrapper() -> None:
        await WrappedCoroutine()

    class WrappedCoroutine:
        def __await__(self) -> Any:
            return outer().__await__()

    threads = [newthread(func) for func in (outer, by_anext, by_wrapper)]
    expected = [["outer"], ["by_anext"], ["by_wrapper", "outer"]]

    def look() -> None:
        for thread, first in zip(threads, expected, strict=True):
            names = [place.function.rpartition(".")[2] for place in about(thread).stack if not place.inside]
            assert names == [*first, "numbers", "__await__"]

    during(*threads, then=look)


def test_a_thread_that_asks_about_itself_is_where_it_asks() -> None:
    def main() -> Steps:
        def ask() -> ThreadInfo:
            return about(socket2.currentthread())

        info = ask()
        assert info.state == "running"
        assert info.os_thread == "MainThread"
        assert [place.function.rpartition(".")[2] for place in info.stack] == ["main", "ask", "about"]
        text = debug.where(socket2.currentthread())
        assert text.endswith("    text = debug.where(socket2.currentthread())\n")
        return
        yield

    run(main)


def test_a_thread_that_is_starting_another_runs_too() -> None:
    def child() -> Steps:
        states = {info.name: info.state for info in debug.threads()}
        assert states == {"parent": "running", "child": "running"}
        return
        yield

    def parent() -> Steps:
        newthread(child, name="child").result()
        return
        yield

    newthread(parent, name="parent").result()


def test_threads_of_other_os_threads_are_told_too() -> None:
    started = OSThread(lambda: run(serve))
    ready, go = socket.socketpair()

    def waits() -> Steps:
        ready.sendall(b"!")
        yield from suspend()

    def serve() -> Steps:
        thread = newthread(waits, name="far")
        ready.recv(1)  # here
        thread.cancel()
        yield from sleep(0)

    with ready, go:
        started.start()
        assert go.recv(1) == b"!"
        give_up = monotonic() + LIMIT_S
        while monotonic() < give_up:
            found = {info.name: info for info in debug.threads()}
            main, far = found[serve.__qualname__], found["far"]
            line = main.at.line if main.at is not None else None
            if (far.state, main.os_thread, line) == ("waiting", started.name, line_of(serve, "# here")):
                break
        assert (far.state, main.state, main.os_thread) == ("waiting", "running", started.name)
        assert started.name in [name for loop in debug.stats() for name in loop.os_threads]
        go.sendall(b"!")
        started.outcome()


def test_looking_holds_on_to_nothing() -> None:
    class Held:
        pass

    def main() -> Steps:
        held = Held()
        gone = weakref.ref(held)
        debug.report("everything")
        debug.threads()
        del held
        assert gone() is None
        return
        yield

    gc.disable()
    try:
        run(main)
    finally:
        gc.enable()


# Times, and which thread started which.


def test_times_are_unknown_while_debugging_is_off() -> None:
    def waits() -> Steps:
        yield from suspend()

    thread = newthread(waits)

    def look() -> None:
        info = about(thread)
        assert (info.age_s, info.since_s, info.started_by) == (None, None, None)

    during(thread, then=look)


@pytest.mark.usefixtures("enabled")
def test_times_and_who_has_started_it() -> None:
    def waits() -> Steps:
        yield from suspend()
        yield from suspend()

    def main() -> Steps:
        thread = newthread(waits, name="child")
        before = about(thread)
        assert before.started_by == "boss"
        assert before.parent is socket2.currentthread()
        assert before.age_s is not None
        assert before.since_s is not None
        assert 0 <= before.since_s <= before.age_s < 60
        yield from sleep(0.02)
        later = about(thread)
        assert later.since_s is not None
        assert later.since_s >= before.since_s + 0.02
        socket2.resume(thread)
        yield from sleep(0)
        again = about(thread)
        assert again.since_s is not None
        assert again.age_s is not None
        assert again.since_s <= again.age_s - 0.02
        assert sum(loop.steps for loop in debug.stats()) == 5
        thread.cancel()
        yield from sleep(0)

    thread = newthread(main, name="boss")
    assert socket2.start()
    thread.result()


def test_a_thread_from_before_is_watched_from_its_next_step_on() -> None:
    def waits() -> Steps:
        yield from suspend()
        yield from suspend()

    def main() -> Steps:
        thread = newthread(waits)
        debug.enable(None, None, False)
        try:
            assert about(thread).since_s is None
            socket2.resume(thread)
            yield from sleep(0)
            info = about(thread)
            assert info.since_s is not None
            assert info.age_s is None
        finally:
            debug.disable()
        assert about(thread).since_s is not None
        thread.cancel()
        yield from sleep(0)

    run(main)


@pytest.mark.usefixtures("enabled")
def test_the_tree_has_each_thread_below_the_one_that_has_started_it() -> None:
    def leaf() -> Steps:
        yield from suspend()

    def branch(threads: list[socket2.Thread]) -> Steps:
        threads += [newthread(leaf, name="leaf"), newthread(leaf, name="leaf")]
        yield from suspend()

    def orphan(threads: list[socket2.Thread]) -> Steps:
        threads.append(newthread(leaf, name="orphan"))
        return
        yield

    def main() -> Steps:
        threads: list[socket2.Thread] = []
        threads.append(newthread(branch, threads, name="branch"))
        newthread(orphan, threads)
        lines = debug.tree().splitlines()[1:]
        assert [line.partition("  w")[0].partition("  r")[0].rstrip() for line in lines] == [
            "root",
            "  branch",
            "    leaf",
            "    leaf",
            "orphan",
        ]
        for thread in threads:
            thread.cancel()
        yield from sleep(0)

    thread = newthread(main, name="root")
    assert socket2.start()
    thread.result()


def test_without_debugging_the_tree_has_each_thread_below_the_one_that_joins_it() -> None:
    def leaf() -> Steps:
        yield from suspend()

    def main() -> Steps:
        thread = newthread(leaf, name="leaf")
        joiner = newthread(thread.join(), name="joiner")
        names = [line.split("  w")[0].rstrip() for line in debug.tree().splitlines()]
        assert "joiner" in names
        assert names[names.index("joiner") + 1] == "  leaf"
        joiner.cancel()
        thread.cancel()
        yield from sleep(0)

    run(main)


def test_threads_that_join_one_another_are_told_once_each() -> None:
    threads: list[socket2.Thread] = []

    def joins(other: int) -> Steps:
        yield from sleep(0)
        yield from threads[other].join()

    threads += [newthread(joins, 1, name="one"), newthread(joins, 0, name="two")]

    def main() -> Steps:
        yield from sleep(0)
        yield from sleep(0)
        lines = debug.tree().splitlines()
        assert sum(line.split()[0] == "one" for line in lines) == 1
        assert sum(line.split()[0] == "two" for line in lines) == 1
        threads[0].cancel()
        yield from sleep(0)
        yield from sleep(0)

    run(main)


# It changes nothing.


@pytest.mark.usefixtures("enabled")
def test_outcomes_are_the_same_when_watched() -> None:
    def returns() -> Steps:
        yield from sleep(0)
        return 5

    def fails() -> Steps:
        yield from sleep(0)
        raise LookupError("x")

    def cleans_up(log: list[str]) -> Steps:
        try:
            yield from suspend()
        except Cancelled:
            log.append("cancelled")
            yield from sleep(0)
            log.append("cleaned up")
            raise

    async def awaits() -> int:
        await sleep(0)
        return 6

    def main() -> Steps:
        assert (yield from newthread(returns).join()) == 5
        assert (yield from newthread(awaits).join()) == 6
        with pytest.raises(LookupError):
            yield from newthread(fails).join()
        log: list[str] = []
        thread = newthread(cleans_up, log)
        thread.cancel()
        with pytest.raises(Cancelled):
            yield from thread.join()
        assert log == ["cancelled", "cleaned up"]

    run(main)
    assert history.running == {}


def test_off_again_there_is_nothing_between_a_thread_and_its_coroutine() -> None:
    def waits() -> Steps:
        yield from suspend()

    debug.enable(None, None, False)
    debug.disable()
    thread = newthread(waits)
    assert history.times_of(thread) is None
    during(thread, then=lambda: None)


def test_a_program_that_does_not_debug_does_not_even_import_it() -> None:
    loaded = fresh("import socket2, sys; socket2.run(lambda: None); print(*sys.modules)").split()
    assert "socket2" in loaded
    assert not {"socket2.debug", "socket2.debug.history", "socket2.debug.inquiry", "socket2.debug.watchdog"} & set(
        loaded
    )


def test_disabling_what_is_not_enabled_does_nothing() -> None:
    debug.disable()
    debug.disable()


# As text.


def test_control_characters_do_not_reach_the_terminal() -> None:
    def waits() -> Steps:
        yield from suspend()

    thread = newthread(waits, name="a\x1b[31mred\nline\ud800")

    def look() -> None:
        for text in (debug.ps(), debug.tree(), debug.where(thread), debug.report("everything")):
            assert "\x1b" not in text
            assert "a\\x1b[31mred\\nline\\ud800" in text

    during(thread, then=look)


def test_many_threads_in_the_same_place_are_told_together() -> None:
    def waits() -> Steps:
        yield from suspend()

    threads = [newthread(waits, name=f"n{n}") for n in range(100)]

    def look() -> None:
        text = debug.report("stacks")
        assert "and 95 more in the same place" in text
        assert text.count("in test_many_threads_in_the_same_place_are_told_together.<locals>.waits") == 1
        assert debug.ps().count("suspended") == 100

    during(*threads, then=look)


def test_nothing_to_tell() -> None:
    assert debug.threads() == []
    assert debug.ps().split()[0] == "THREAD"
    assert len(debug.ps().splitlines()) == 1
    assert debug.tree() == debug.ps()


def test_a_report_of_another_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="ps, tree, stacks"):
        debug.report("nonsense")


def test_counters() -> None:
    with pair() as (conn, peer):

        def receiver() -> Steps:
            yield from conn.recv(10)

        thread = newthread(receiver)

        def look() -> None:
            (stats,) = [stats for stats in debug.stats() if stats.os_threads]
            assert stats.os_threads == ("MainThread",)
            assert (stats.attached, stats.parked) == (1, 1)
            assert (stats.threads, stats.ready) == (2, 0)

        during(thread, then=look)
        peer.close()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0 ms"), (0.0123, "12 ms"), (3.42, "3.42 s"), (300, "5 min"), (27000, "7.5 h"), (864000, "10 d")],
)
def test_times_as_text(seconds: float | None, text: str) -> None:
    assert text_of_time(seconds) == text


def test_the_logger_is_quiet_when_all_is_well(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    debug.enable(None, None, False)
    debug.disable()
    assert caplog.records == []
