"""What fails a test besides its own code: errors in the background, what it leaves behind, and taking too long."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from .conftest import Project


def test_an_error_in_the_background_fails_the_test_at_once(project: Project) -> None:
    result = project("""
        from socket2 import newthread, sleep, suspend

        def worker():
            yield from sleep(0)
            raise ValueError("in the background")

        async def test_waits_for_ever():
            newthread(worker)
            await suspend()

        async def test_ends_first():
            newthread(worker)

        async def test_swallows_everything():
            newthread(worker)
            try:
                await suspend()
            except BaseException:
                pass

        async def test_fails_too():
            newthread(worker)
            try:
                await suspend()
            finally:
                raise KeyError("of its own")

        async def test_joins():
            try:
                await newthread(worker).join()
            except ValueError:
                pass
    """)
    result.assert_outcomes(failed=3, passed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "E * ValueError: in the background",
            "E * in thread 'worker', which no other thread was joining",
            "E * KeyError: 'of its own'",
            "E * also failed: ValueError('in the background'), in thread 'worker'*",
        ]
    )


def test_an_error_of_a_handler_fails_the_test(project: Project) -> None:
    text = """
        import pytest
        from socket2 import Server, connect

        async def handler(conn):
            raise ValueError("no such key")

        async def talk():
            server = Server(handler)
            await server.listen("127.0.0.1", 0)
            try:
                with await connect(server.addresses[0]) as conn:
                    assert await conn.recv(1) == b""
            finally:
                await server.stop()

        async def test_it():
            await talk()

        @pytest.mark.socket2(allow_errors=True)
        async def test_allowed():
            await talk()
    """
    result = project(text)
    result.assert_outcomes(failed=1, passed=1)
    result.stdout.fnmatch_lines(["E * ValueError: no such key", "E * logged by socket2.server: * failed"])


def test_what_is_left_behind_is_named(project: Project) -> None:
    result = project("""
        import threading
        import pytest
        import socket2
        from socket2 import connect, listen, newthread, runafter, sleep

        kept = []
        ending = threading.Event()

        async def sleeper():
            await sleep(3600)

        async def test_thread():
            newthread(sleeper)

        async def test_timer():
            runafter(60, print)

        async def test_socket():
            kept.append(listen("127.0.0.1:0"))
            kept.append(await connect(kept[0].getsockname()))

        async def test_dropped():
            listen("127.0.0.1:0")

        async def test_file():
            kept.append(open(__file__))

        async def test_os_thread():
            threading.Thread(target=ending.wait, name="forgotten").start()

        async def test_forgotten():
            sleep(1)

        @pytest.mark.socket2(allow_leaks=True)
        async def test_allowed():
            newthread(sleeper)
            kept.append(socket2.tcp())

        async def test_fails():
            newthread(sleeper)
            assert False

        def test_clean_up():
            ending.set()
            for one in kept:
                one.close()
    """)
    told = result.stdout.str()
    result.assert_outcomes(passed=9, failed=1, errors=7)
    for what in (
        "thread 'sleeper', waiting for sleep of 3600 s, at ",
        "thread 'print', waiting for sleep of ",
        "made at ",
        "unclosed <TCP fd ",
        "OS thread 'forgotten'",
        "was never awaited",
    ):
        assert what in told
    if Path("/proc/self/fd").exists():
        assert "test_what_is_left_behind_is_named.py" in told.partition("ERROR at teardown of test_file")[2]


def test_other_warnings_stay_warnings(project: Project) -> None:
    text = """
        import warnings

        async def test_it():
            warnings.warn("of the program")
    """
    result = project(text, "-W", "default")
    result.assert_outcomes(passed=1, warnings=1)
    result.stdout.fnmatch_lines(["*UserWarning: of the program"])
    project(text, "-W", "error").assert_outcomes(failed=1)


HANGS = """
    import time
    import pytest
    from socket2 import Cancelled, newthread, sleep, suspend

    def sleeper():
        yield from sleep(3600)

    async def test_waits():
        newthread(sleeper)
        await suspend()

    async def test_does_not_give_up():
        newthread(sleeper)
        while True:
            try:
                await sleep(0.01)
            except Cancelled:
                pass

    @pytest.fixture
    async def silent():
        await suspend()

    async def test_of_a_fixture(silent):
        pass

    async def test_next():
        await sleep(0)
"""


def test_a_test_that_hangs_fails_with_a_list_of_the_threads(project: Project) -> None:
    result = project(HANGS, ini="socket2_timeout = 1")
    result.assert_outcomes(failed=2, passed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            "the test has not ended within 1 s",
            "THREAD * STATE * WAITS FOR *",
            "test_waits *suspended *",
            "sleeper * sleep of 3600 s *test_a_test_that_hangs*",
        ]
    )


BLOCKS = """
    import time
    import pytest
    from socket2 import sleep

    async def test_blocks():
        time.sleep(3600)

    async def test_spins():
        while True:
            pass

    async def test_next():
        await sleep(0)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there time.sleep() is not cut short")
def test_a_test_that_blocks_is_interrupted(project: Project) -> None:
    result = project(BLOCKS, ini="socket2_timeout = 1", beside=True)
    result.assert_outcomes(failed=2, passed=1)
    result.stderr.fnmatch_lines(["the test has not ended within 1 s", "test_blocks *running *", "* time.sleep(3600)"])
    result.stdout.fnmatch_lines(["the test has not ended within 1 s", "test_spins *running *"])


def test_a_limit_of_one_test_may_be_another(project: Project) -> None:
    result = project(
        """
        import pytest
        from socket2 import sleep, suspend

        @pytest.mark.socket2(timeout=1)
        class TestAll:
            async def test_short(self):
                await suspend()

            @pytest.mark.socket2(timeout=0)
            async def test_long(self):
                await sleep(1.5)
        """,
        ini="socket2_timeout = 0",
    )
    result.assert_outcomes(failed=1, passed=1)
