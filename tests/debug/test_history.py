"""Times and starters of threads in debugging, and that debugging changes nothing for them."""

from __future__ import annotations

import logging
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2 import Cancelled, debug, newthread, run, sleep, suspend
from socket2.debug import history
from socket2.debug.listing import text_of_time

from ..test_tidy import fresh
from . import test_debug
from .test_debug import about, during, pair

enabled = test_debug.enabled


Steps = Generator[Any, None, Any]


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

    def branch(threads: list[socket2.Thread[object]]) -> Steps:
        threads += [newthread(leaf, name="leaf"), newthread(leaf, name="leaf")]
        yield from suspend()

    def orphan(threads: list[socket2.Thread[object]]) -> Steps:
        threads.append(newthread(leaf, name="orphan"))
        return
        yield

    def main() -> Steps:
        threads: list[socket2.Thread[object]] = []
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
    threads: list[socket2.Thread[object]] = []

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
