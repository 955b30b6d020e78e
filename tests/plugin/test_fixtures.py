"""Fixtures of the plugin, and fixtures that wait."""

from __future__ import annotations

from .conftest import Project


def test_fixtures_may_be_coroutines_and_async_generators(project: Project) -> None:
    result = project("""
        import pytest
        from socket2 import newthread, sleep, threadset, timeout
        from socket2.threads.thread import currentthread

        order = []

        @pytest.fixture
        async def number():
            await sleep(0)
            return 40

        @pytest.fixture(params=[1, 2])
        async def both(number, request):
            thread = currentthread()
            with timeout(10):
                await sleep(0)
                yield number + request.param
                await sleep(0)
            assert currentthread() is thread
            order.append("ended")

        async def test_coroutine(both):
            assert both in (41, 42)

        def test_plain(number):
            assert number == 40

        class TestInAClass:
            @pytest.fixture
            async def mine(self, number):
                self.number = number
                yield self
                order.append("mine ended")

            def test_generator(self, mine):
                yield from sleep(0)
                assert self is mine and self.number == 40

        def test_ends():
            assert order == ["ended", "ended", "mine ended"]
    """)
    result.assert_outcomes(passed=5)


def test_a_group_in_a_fixture_lasts_as_long_as_the_test(project: Project) -> None:
    project("""
        import pytest
        from socket2 import Queue, connect, listen, sleep, threadset

        @pytest.fixture
        async def echo():
            async def serve(listener):
                with await listener.accept() as conn:
                    await conn.sendall(await conn.recv(100))

            with listen("127.0.0.1:0") as listener:
                async with threadset() as group:
                    group.newthread(serve, listener)
                    yield listener.getsockname()

        async def test_it(echo):
            with await connect(echo) as conn:
                await conn.sendall(b"hello")
                assert await conn.recv(100) == b"hello"
    """).assert_outcomes(passed=1)


def test_errors_of_fixtures_are_told(project: Project) -> None:
    result = project("""
        import pytest
        from socket2 import sleep

        @pytest.fixture
        async def broken():
            await sleep(0)
            raise ValueError("while it begins")

        @pytest.fixture
        async def breaks():
            yield
            await sleep(0)
            raise ValueError("while it ends")

        @pytest.fixture
        async def twice():
            yield
            yield

        @pytest.fixture
        async def never():
            if False:
                yield

        @pytest.fixture(scope="module")
        async def wide():
            await sleep(0)

        async def test_broken(broken): pass
        async def test_breaks(breaks): pass
        async def test_twice(twice): pass
        async def test_never(never): pass
        async def test_wide(wide): pass
    """)
    result.assert_outcomes(passed=2, errors=5)
    for told in (
        "ValueError: while it begins",
        "ValueError: while it ends",
        "fixture twice has more than one yield",
        "fixture never ended without a yield",
        "the scope must be function, not module",
    ):
        assert told in result.stdout.str()


def test_plain_fixtures_use_the_loop_of_their_test(project: Project) -> None:
    project("""
        import pytest
        from socket2 import connect, listen, sleep

        def connected():
            with listen("127.0.0.1:0") as listener:
                conn = yield from connect(listener.getsockname())
                (yield from listener.accept()).close()
                return conn

        @pytest.fixture
        def conn(loop):
            conn = loop.run(connected)
            yield conn
            conn.close()

        def test_it(conn):
            yield from sleep(0)
            assert (yield from conn.recv(1)) == b""

        def test_plain(loop):
            async def double(number, plus=0):
                await sleep(0)
                return 2 * number + plus

            assert loop.run(double, 20, plus=2) == 42
    """).assert_outcomes(passed=2)


def test_a_pair_is_connected(project: Project) -> None:
    project("""
        import socket

        def test_it(connected_pair):
            one, other = connected_pair
            assert one.family == other.family == "inet"
            yield from one.sendall(b"there")
            one.shutdown(socket.SHUT_WR)
            assert (yield from other.recv(100)) == b"there"
            assert (yield from other.recv(100)) == b""
            yield from other.sendall(b"back")
            assert (yield from one.recv(100)) == b"back"
    """).assert_outcomes(passed=1)


def test_a_port_is_held_for_a_server(project: Project) -> None:
    project("""
        import socket
        import pytest
        from socket2 import connect, listen

        async def test_it(free_port):
            with pytest.raises(ConnectionRefusedError):
                await connect("127.0.0.1", free_port)
            with listen("127.0.0.1", free_port) as listener, await connect(listener.getsockname()) as conn:
                assert conn.getpeername()[1] == free_port

        def test_plain(free_port):
            with socket.create_server(("127.0.0.1", free_port)) as server:
                assert server.getsockname()[1] == free_port
    """).assert_outcomes(passed=2)


def test_the_clock_jumps(project: Project) -> None:
    project("""
        import pytest
        from socket2 import connect, now, runevery, sleep, timeout

        async def test_week(autojump):
            before = now()
            await sleep(7 * 86400)
            assert round(now() - before) == round(autojump.passed_s) == 7 * 86400

        async def test_silent_peer(autojump, connected_pair):
            one, other = connected_pair
            with pytest.raises(TimeoutError), timeout(3600):
                await one.recv(1)
            await other.sendall(b"late")
            with timeout(3600):
                assert await one.recv(10) == b"late"

        @pytest.mark.usefixtures("autojump")
        async def test_network():
            with pytest.raises(OSError, match="run ahead of real sockets"):
                await connect("127.0.0.1", 1)
    """).assert_outcomes(passed=3)


def test_fixtures_that_need_the_loop_say_so(project: Project) -> None:
    result = project("def test_plain(loop):\n    pass\n", ini="socket2_mode = strict")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*loop needs the loop of socket2, and socket2 does not run this test*"])


def test_a_recorded_peer_plays_its_script(project: Project) -> None:
    result = project("""
        import pytest
        from socket2 import connect
        from socket2.testing import expect, expect_end, send

        async def talk(address, data):
            with await connect(address) as conn:
                await conn.sendall(data)
                return await conn.recv(100)

        async def test_it(recorded):
            peer = recorded.listen(expect(b"PING"), send(b"PONG"), expect_end())
            assert await talk(peer.address, b"PING") == b"PONG"

        async def test_another_word(recorded):
            peer = recorded.listen(expect(b"PING"), send(b"PONG"))
            await talk(peer.address, b"PUNG")

        async def test_nobody_comes(recorded):
            recorded.listen(expect(b"PING"))
            raise KeyError("of the test")
    """)
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [
            "E * step 1 of 2, expect(b'PING'), failed: at byte 1 came b'PUNG' in place of b'PING'",
            "E * KeyError: 'of the test'",
        ]
    )
