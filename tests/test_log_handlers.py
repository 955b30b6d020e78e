"""What becomes of a message: without a configuration, at the exit, with a broken stderr, with handlers that fail."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import textwrap
from collections.abc import Generator
from typing import Any

import pytest

import socket2
from socket2 import TCP, newthread, run, start
from socket2.threads.journal import Journal

from .interop.peers import LIMIT_S
from .test_logging import a_thread_fails, fails, handled, serve_one
from .test_main import SEARCH

Steps = Generator[Any, Any, Any]


def printed(program: str) -> str:
    """Run a program, and return what is on its stderr."""
    head = "import logging, logging.config, os, sys\nimport socket2\n"
    text = head + textwrap.dedent(program)
    command = [sys.executable, "-c", text]
    done = subprocess.run(command, env=os.environ | SEARCH, capture_output=True, timeout=LIMIT_S, check=True)
    return (done.stdout + done.stderr).decode().replace(os.linesep, "\n")


FAILS = """
def fails():
    yield from socket2.sleep(0)
    raise LookupError("lost")

socket2.newthread(fails, name="unlucky")
"""


def test_without_any_configuration_it_is_on_stderr_with_its_traceback() -> None:
    first, *rest = printed(f"{FAILS}\nsocket2.start()").splitlines()
    assert first == "exception in thread 'unlucky', which no other thread was joining"
    assert rest[0] == "Traceback (most recent call last):"
    assert rest[-1] == "LookupError: lost"


def test_a_message_at_the_exit_of_the_interpreter_is_not_lost() -> None:
    text = printed(f"import atexit\natexit.register(logging.shutdown)\natexit.register(socket2.start)\n{FAILS}")
    assert "LookupError: lost" in text
    text = printed(f"import atexit\natexit._run_exitfuncs()\n{FAILS}\nsocket2.start()")
    assert "LookupError: lost" in text, "logging has been shut down before"


@pytest.mark.parametrize("stderr", ["None", "open(os.devnull)", "open(os.open(os.devnull, os.O_WRONLY), 'w')"])
@pytest.mark.parametrize("hook", ["", "def hook(*_): 1 / 0\nsocket2.thread.crashhook = hook\n"])
def test_without_a_stderr_the_loop_goes_on_and_nothing_is_on_stdout(stderr: str, hook: str) -> None:
    program = f"{hook}sys.stderr = {stderr}\n{FAILS}\nprint(socket2.start())"
    assert printed(program) == "True\n"


def test_a_stderr_that_is_closed() -> None:
    assert printed(f"sys.stderr.close()\n{FAILS}\nprint(socket2.start())") == "True\n"


def test_loggers_are_not_disabled_by_a_configuration_after_the_import() -> None:
    config = {"version": 1, "formatters": {"f": {"format": "logged %(message)s"}}} | {
        "handlers": {"h": {"class": "logging.StreamHandler", "formatter": "f"}},
        "root": {"handlers": ["h"]},
    }
    assert "logged exception in thread 'unlucky'" in printed(
        f"logging.config.dictConfig({config})\n{FAILS}\nsocket2.start()"
    )


class Broken(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        raise RuntimeError("of the log handler")


def test_what_a_broken_handler_should_have_logged_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    with handled(Broken()):
        a_thread_fails(pytest.MonkeyPatch())
    told = capfd.readouterr().err
    assert "RuntimeError: of the log handler" in told
    assert "exception in thread 'unlucky', which no other thread was joining\nTraceback" in told
    assert told.endswith("LookupError: lost\n")


def test_a_record_that_has_such_an_attribute_already_is_printed(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A record factory of the program may use the same names; logging refuses to overwrite them."""
    inner = logging.getLogRecordFactory()

    def made(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = inner(*args, **kwargs)
        record.coro_thread = "of the program"
        return record

    logging.setLogRecordFactory(made)
    try:
        a_thread_fails(monkeypatch)
    finally:
        logging.setLogRecordFactory(inner)
    assert "LookupError: lost" in capfd.readouterr().err


def test_an_interrupt_in_a_handler_is_not_swallowed() -> None:
    class Interrupted(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            raise KeyboardInterrupt

    with handled(Interrupted()), pytest.raises(KeyboardInterrupt):
        a_thread_fails(pytest.MonkeyPatch())
    assert start() is True


def test_a_handler_may_start_threads_and_run_the_loop(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[str] = []

    class Starts(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if len(seen) < 3:
                seen.append(record.getMessage())
                newthread(fails, name=f"number {len(seen)}")

    with handled(Starts()):
        a_thread_fails(pytest.MonkeyPatch())
    assert [text.split("'")[1] for text in seen] == ["unlucky", "number 1", "number 2"]
    assert len(caplog.records) == 4


def test_no_text_is_made_while_the_level_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    class Costly(ConnectionResetError):
        def __str__(self) -> str:
            raise AssertionError("nobody wants this text")

    def handler(conn: TCP) -> Steps:
        yield from conn.recv(1)
        raise Costly

    logger = logging.getLogger("socket2.server")
    monkeypatch.setattr(logger, "disabled", True)
    serve_one(handler)


def test_a_record_names_the_line_that_reports(caplog: pytest.LogCaptureFixture) -> None:
    journal = Journal("socket2.test")
    for log in (journal.warning, journal.error):
        log("here", about={})
    assert {record.funcName for record in caplog.records} == {"test_a_record_names_the_line_that_reports"}


def test_workers_flush_their_handlers_at_their_end(capfd: pytest.CaptureFixture[str]) -> None:
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    program = """
        import signal
        from logging.handlers import MemoryHandler
        from socket2.servers.supervisor import Workers

        logging.basicConfig(handlers=[MemoryHandler(100, logging.CRITICAL, logging.StreamHandler())])

        def work(its, listeners):
            logging.warning("of the worker")
            os.kill(os.getppid(), signal.SIGTERM)
            its.sendall(b"0")

        Workers(work, 1, [], 0).run(None)
    """
    assert printed(program).count("of the worker") == 1


def test_the_report_is_true_if_the_thread_is_joined_later(caplog: pytest.LogCaptureFixture) -> None:
    def fails() -> None:
        raise ValueError("early")

    async def main() -> None:
        with pytest.raises(ValueError, match="early"):
            await newthread(fails).join()

    run(main)
    assert "which no other thread was joining" in caplog.text


def test_the_parameters_of_a_crashhook_may_have_any_names() -> None:
    crashes: list[tuple[str, str]] = []

    def note(who: socket2.Thread[object], what: BaseException) -> None:
        crashes.append((who.name, str(what)))

    def fails() -> None:
        raise ValueError("early")

    async def main() -> None:
        newthread(fails, name="unlucky")

    previous, socket2.thread.crashhook = socket2.thread.crashhook, note
    try:
        run(main)
    finally:
        socket2.thread.crashhook = previous
    assert crashes == [("unlucky", "early")]
