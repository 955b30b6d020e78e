"""Which tests the plugin runs, and how."""

from __future__ import annotations

import pytest

from .conftest import Project

BOTH_KINDS = """
    import pytest
    from socket2 import sleep

    order = []

    def test_generator():
        yield from sleep(0)
        order.append("generator")

    async def test_coroutine():
        await sleep(0)
        order.append("coroutine")

    class TestInAClass:
        @pytest.mark.parametrize("number", [1, 2])
        def test_generator(self, number):
            yield from sleep(0)
            order.append(number)

        async def test_coroutine(self):
            await sleep(0)
            order.append(type(self).__name__)

    def test_that_all_have_run():
        assert order == ["generator", "coroutine", 1, 2, "TestInAClass"]
"""


def test_generators_and_coroutines_run(project: Project) -> None:
    project(BOTH_KINDS).assert_outcomes(passed=6)


def test_each_test_fails_at_its_own_line(project: Project) -> None:
    result = project("""
        from socket2 import sleep

        def test_generator():
            yield from sleep(0)
            assert 1 == 2

        async def test_coroutine():
            await sleep(0)
            assert 3 == 4
    """)
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*>*assert 1 == 2", "*test_*.py:5: AssertionError", "*>*assert 3 == 4"])
    assert "ownloop.py" not in result.stdout.str()


def test_each_test_has_a_loop_of_its_own(project: Project) -> None:
    project("""
        from socket2.threads.scheduler import current_scheduler, local

        seen = []

        async def test_one():
            seen.append(current_scheduler())

        async def test_other():
            assert current_scheduler() not in seen

        def test_plain():
            assert local.scheduler is None
    """).assert_outcomes(passed=3)


def test_skips_and_expected_failures_are_what_they_are(project: Project) -> None:
    project("""
        import pytest
        from socket2 import sleep

        def test_skip():
            yield from sleep(0)
            pytest.skip("not today")

        @pytest.mark.xfail
        async def test_expected():
            await sleep(0)
            assert False

        @pytest.mark.skip
        async def test_never():
            assert False
    """).assert_outcomes(skipped=2, xfailed=1)


def test_a_test_that_returns_something_or_yields_it_is_told_so(project: Project) -> None:
    result = project("""
        import pytest

        @pytest.mark.socket2
        def test_returns():
            return 1 == 2

        @pytest.mark.socket2
        async def test_yields():
            yield 1

        def test_waits_for_nothing():
            yield 1
    """)
    result.assert_outcomes(failed=3)
    result.stdout.fnmatch_lines(
        ["*returned False: did you mean assert*", "*cannot be an async generator*", "*waits for 1, which is not*"]
    )


def test_unittest_keeps_its_own_tests(project: Project) -> None:
    project("""
        import asyncio
        import unittest

        class Plain(unittest.TestCase):
            def test_it(self):
                self.assertEqual(1, 1)

        class Async(unittest.IsolatedAsyncioTestCase):
            async def test_it(self):
                await asyncio.sleep(0)
    """).assert_outcomes(passed=2)


def test_in_strict_mode_only_marked_tests_are_ours(project: Project) -> None:
    text = """
        import pytest
        from socket2 import sleep

        @pytest.mark.socket2
        async def test_ours():
            await sleep(0)

        @pytest.mark.socket2
        def test_generator():
            yield from sleep(0)

        @pytest.mark.socket2
        class TestOurs:
            def test_generator(self):
                yield from sleep(0)

        async def test_not_ours():
            pass
    """
    result = project(text, ini="socket2_mode = strict")
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*async def functions are not natively supported*"])
    result = project("def test_not_ours():\n    yield", ini="socket2_mode = strict")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*'yield' keyword is allowed in fixtures, but not in tests*"])


@pytest.mark.parametrize(
    ("ini", "told"),
    [
        ("socket2_mode = always", "socket2_mode must be auto or strict, not 'always'"),
        ("socket2_timeout = soon", "socket2_timeout must be a number of seconds, or 0 for any time, not 'soon'"),
        ("socket2_timeout = -1", "socket2_timeout must be a number of seconds"),
    ],
)
def test_wrong_settings_are_named(project: Project, ini: str, told: str) -> None:
    result = project("def test_it():\n    pass\n", ini=ini)
    assert result.ret != 0
    assert told in result.stderr.str()


def test_wrong_marks_are_named(project: Project) -> None:
    marks = {
        "@pytest.mark.socket2(5)": "the mark socket2 takes timeout, allow_errors and allow_leaks, by name",
        "@pytest.mark.socket2(limit=5)": "the mark socket2 takes timeout, allow_errors and allow_leaks, by name",
        "@pytest.mark.socket2(timeout='x')": "the timeout of the mark socket2 must be a number of seconds",
    }
    tests = [f"{mark}\nasync def test_{number}():\n    pass\n" for number, mark in enumerate(marks)]
    result = project("import pytest\n\n" + "\n".join(tests))
    result.assert_outcomes(errors=len(marks))
    for told in marks.values():
        assert told in result.stdout.str()


@pytest.mark.parametrize(
    ("mark", "told"),
    [
        ("pollers()", "the mark pollers takes names of pollers"),
        ("pollers(1)", "the mark pollers takes names of pollers"),
        ("seeds('many')", "the mark seeds takes the number of seeds"),
        ("seeds(5)", "test_it has the mark seeds, but uses no seed"),
    ],
)
def test_marks_that_cannot_be_are_named_before_any_test_runs(project: Project, mark: str, told: str) -> None:
    result = project(f"import pytest\n\n@pytest.mark.{mark}\nasync def test_it():\n    pass\n")
    result.assert_outcomes(errors=1)
    assert told in result.stdout.str()


def test_marks_are_declared(project: Project) -> None:
    result = project("", "--markers")
    for mark in ("socket2", "pollers", "seeds"):
        result.stdout.fnmatch_lines([f"@pytest.mark.{mark}(*"])


def test_a_test_runs_over_each_poller_that_its_mark_names(project: Project) -> None:
    result = project("""
        import pytest
        import socket2
        from socket2.threads.scheduler import current_scheduler

        seen = []

        @pytest.mark.pollers("select", "no-such-poller")
        async def test_it(connected_pair):
            one, other = connected_pair
            await one.sendall(b"x")
            assert await other.recv(1) == b"x"
            seen.append(current_scheduler().poller.name)

        @pytest.mark.pollers("select")
        def test_plain():
            socket2.run(socket2.sleep, 0)
            seen.append(current_scheduler().poller.name)

        def test_seen():
            assert seen == ["select", "select"]
    """)
    result.assert_outcomes(passed=3, skipped=1)
    result.stdout.fnmatch_lines(["*this system has no poller 'no-such-poller'*"])


def test_a_test_runs_with_each_seed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    text = """
        import pytest

        @pytest.mark.seeds(3)
        def test_it(seed):
            assert seed != 2

        def test_without_a_mark(seed):
            print(f"seed {seed} here")
    """
    result = project(text)
    result.assert_outcomes(passed=3, failed=1)
    result.stdout.fnmatch_lines(["*seed 0 here*", "FAILED *test_it?2? *"])
    monkeypatch.setenv("SOCKET2_SEED", "2")
    result = project(text)
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(["*seed 2 here*", "FAILED *test_it?2? *"])
    monkeypatch.setenv("SOCKET2_SEED", "two")
    result = project(text)
    assert "SOCKET2_SEED must be a whole number, not 'two'" in result.stdout.str()


def test_without_the_plugin_pytest_is_as_it_was(project: Project) -> None:
    result = project("def test_generator():\n    yield\n", "-p", "no:socket2", "-p", "no:pytest_socket2")
    result.assert_outcomes(errors=1)
    result = project("def test_plain():\n    pass\n", "-p", "no:socket2", "-p", "no:pytest_socket2")
    result.assert_outcomes(passed=1)


def test_socket2_is_imported_when_the_first_test_needs_it(project: Project) -> None:
    """Coverage has to see the import."""
    result = project(
        """
        import sys

        def test_plain():
            assert not [name for name in sys.modules if name.split(".")[0] in ("socket2", "pollers")]

        async def test_ours():
            assert "socket2" in sys.modules
        """,
        beside=True,
    )
    result.assert_outcomes(passed=2)
