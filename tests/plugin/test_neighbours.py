"""Other plugins of pytest in the same project."""

from __future__ import annotations

import pytest

from .conftest import Project

pytest.importorskip("hypothesis", reason="hypothesis is not installed")
pytest.importorskip("pytest_asyncio", reason="pytest-asyncio is not installed")
pytest.importorskip("pytest_trio", reason="pytest-trio is not installed")

ALL = ("pytest_asyncio.plugin", "anyio.pytest_plugin", "pytest_trio.plugin")

TOGETHER = """
    import asyncio
    import anyio
    import pytest
    import pytest_asyncio
    import socket2
    import trio
    from socket2.threads.scheduler import local

    @pytest_asyncio.fixture
    async def of_asyncio():
        await asyncio.sleep(0)
        yield asyncio.get_running_loop()

    @pytest.fixture
    async def ours():
        await socket2.sleep(0)
        yield 42

    @pytest.mark.asyncio
    async def test_asyncio(of_asyncio):
        assert asyncio.get_running_loop() is of_asyncio
        assert local.scheduler is None

    @pytest.mark.anyio
    @pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
    async def test_anyio(anyio_backend):
        await anyio.sleep(0)

    @pytest.mark.trio
    async def test_trio():
        await trio.sleep(0)

    async def test_ours(ours):
        await socket2.sleep(0)
        assert ours == 42

    def test_generator(ours):
        yield from socket2.sleep(0)
        assert ours == 42
"""


def test_each_plugin_runs_its_own_tests(project: Project) -> None:
    plugins = [word for name in ALL for word in ("-p", name)]
    project(TOGETHER, *plugins, "-W", "default", beside=True).assert_outcomes(passed=6)


def test_in_the_automatic_modes_of_others_only_what_is_marked_is_ours(project: Project) -> None:
    text = """
        import asyncio
        import pytest
        import socket2

        async def test_theirs():
            await asyncio.sleep(0)

        @pytest.mark.socket2
        def test_ours():
            yield from socket2.sleep(0)
    """
    ini = "asyncio_mode = auto\nsocket2_mode = strict"
    project(text, "-p", "pytest_asyncio.plugin", "-W", "default", ini=ini, beside=True).assert_outcomes(passed=2)


def test_two_marks_are_one_too_many(project: Project) -> None:
    result = project(
        """
        import pytest

        @pytest.mark.asyncio
        @pytest.mark.socket2
        async def test_it():
            pass
        """,
        *("-p", "pytest_asyncio.plugin", "-W", "default"),
        beside=True,
    )
    assert "passed" not in result.parseoutcomes()
    assert "test_it has the marks socket2 and asyncio: only one can run it" in result.stdout.str()


def test_hypothesis_gives_examples(project: Project) -> None:
    text = """
        import socket2
        from hypothesis import HealthCheck, Phase, given, settings, strategies

        seen = []
        few = settings(
            max_examples=20,
            phases=[Phase.generate],
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        )

        @few
        @given(data=strategies.binary(min_size=1))
        async def test_coroutine(data):
            one, other = socket2.socketpair()
            with one, other:
                await one.sendall(data)
                assert await other.recv(100000) == data
            seen.append(data)

        @few
        @given(number=strategies.integers(min_value=100))
        def test_generator(number):
            yield from socket2.sleep(0)
            assert number < 100

        def test_seen():
            assert len(seen) >= 20
    """
    result = project(text, "-p", "_hypothesis_pytestplugin", "-W", "default", beside=True)
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*assert * < 100", "*number=*"])


def test_workers_of_xdist_share_the_tests(project: Project) -> None:
    text = """
        import pytest
        import socket2

        @pytest.mark.seeds(20)
        async def test_it(seed, free_port, connected_pair):
            await socket2.sleep(0)
            assert seed != 7
    """
    result = project(text, "-p", "xdist", "-n", "2", beside=True)
    result.assert_outcomes(passed=19, failed=1)
    result.stdout.fnmatch_lines(["FAILED *test_it?7?*"])
