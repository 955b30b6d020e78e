"""run_process(): a child from its start to its end."""

from __future__ import annotations

import io
import sys
from subprocess import DEVNULL, PIPE, STDOUT, CalledProcessError
from typing import Any

import pytest

from socket2 import Cancelled, newthread, run, run_process, sleep, timeout
from socket2.processes import child

from .started import MUCH, Steps, settled


@pytest.fixture(params=["streams", "OS thread"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, poller: None) -> str:
    """In an OS thread, as on a system that cannot wait for pipes."""
    if request.param != "streams":

        def refuse() -> None:
            raise io.UnsupportedOperation

        monkeypatch.setattr(child, "check_system", refuse)
    return str(request.param)


def test_input_and_output() -> None:
    def main() -> Steps:
        done = yield from run_process(["tr", "a-z", "A-Z"], input=b"text", capture_output=True)
        assert (done.args, done.returncode) == (["tr", "a-z", "A-Z"], 0)
        assert (done.stdout, done.stderr) == (b"TEXT", b"")
        done = yield from run_process(["cat"], input=memoryview(bytes(MUCH)), stdout=PIPE)
        assert done.stdout == bytes(MUCH)
        assert done.stderr is None
        done = yield from run_process(["sh", "-c", "echo out; echo err >&2"], stdout=PIPE, stderr=STDOUT)
        assert done.stdout == b"out\nerr\n"
        done = yield from run_process(["sh", "-c", "echo out; echo err >&2"], stdout=DEVNULL, stderr=PIPE)
        assert done.stdout is None
        assert done.stderr == b"err\n"

    run(settled, main)


def test_no_input_is_an_empty_one() -> None:
    def main() -> Steps:
        for options in ({"stdin": PIPE}, {"input": b""}, {"stdin": DEVNULL}):
            done = yield from run_process(["cat"], stdout=PIPE, **options)
            assert done.stdout == b""

    run(settled, main)


def test_a_child_that_does_not_read_its_input() -> None:
    def main() -> Steps:
        done = yield from run_process(["true"], input=bytes(MUCH))
        assert done.returncode == 0

    run(settled, main)


def test_much_on_both_outputs_at_once() -> None:
    code = f"import sys\nfor _ in range(10): sys.stdout.write('o' * {MUCH // 10}); sys.stderr.write('e' * {MUCH // 10})"

    def main() -> Steps:
        done = yield from run_process([sys.executable, "-c", code], capture_output=True)
        assert done.stdout == b"o" * MUCH
        assert done.stderr == b"e" * MUCH

    run(settled, main)


def test_exit_codes() -> None:
    def main() -> Steps:
        command = ["sh", "-c", "echo out; echo err >&2; exit 3"]
        with pytest.raises(CalledProcessError) as caught:
            yield from run_process(command, capture_output=True)
        assert (caught.value.returncode, caught.value.cmd) == (3, command)
        assert (caught.value.stdout, caught.value.stderr) == (b"out\n", b"err\n")
        done = yield from run_process(command, capture_output=True, check=False)
        assert done.returncode == 3
        with pytest.raises(FileNotFoundError):
            yield from run_process(["/does/not/exist"])

    run(settled, main)


@pytest.mark.parametrize("options", [{}, {"input": bytes(MUCH)}, {"capture_output": True, "input": bytes(MUCH)}])
def test_a_timeout_or_cancellation_kills_the_child(options: dict[str, Any]) -> None:
    def main() -> Steps:
        with pytest.raises(TimeoutError), timeout(0.02):
            yield from run_process(["sleep", "60"], **options)
        running = newthread(run_process, ["sleep", "60"])
        yield from sleep(0)
        running.cancel()
        with pytest.raises(Cancelled):
            yield from running.join()
        yield from sleep(0)

    run(main)


def test_in_an_async_function() -> None:
    async def main() -> None:
        done = await run_process(["echo", "text"], stdout=PIPE)
        assert done.stdout == b"text\n"

    run(main)


def test_arguments_that_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="either input or stdin"):
        run_process(["cat"], input=b"", stdin=PIPE)
    with pytest.raises(ValueError, match="capture_output"):
        run_process(["cat"], capture_output=True, stdout=PIPE)
