"""Which operations are reported as forgotten, where, and that the warning is like CPython's own.

tests/test_forgotten.py has the names of all operations. tests/pollers/test_checking.py has SOCKET2_CHECK=1.
"""

from __future__ import annotations

import contextlib
import gc
import inspect
import subprocess
import sys
import warnings
from collections.abc import Callable, Generator
from typing import Any

import pytest

from pollers import Operation, operation
from socket2 import Cancelled, Queue, newthread, run, sleep, tcp, timeout

from ..interop.peers import LIMIT_S, ROOT
from ..test_forgotten import reporting

pytestmark = reporting


def reported(main: Callable[[Any], Any]) -> list[str]:
    """Run `main(connection)` as a thread. Return the reports, with the numbers of lines from its `def` on."""

    def steps() -> Generator[Any, None, None]:
        listener, conn = tcp(), tcp()
        listener.listen("127.0.0.1")
        with listener, conn:
            yield from conn.connect(*listener.getsockname())
            with (yield from listener.accept()) as peer:
                yield from newthread(main, peer).join()

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        run(steps)
    assert all(one.filename == __file__ for one in told)
    first = inspect.getsourcelines(main)[1]
    return [f"{one.lineno - first}: {one.message}".replace(f"{__file__}:{one.lineno}", "PLACE") for one in told]


AT = "at PLACE was never awaited: is a `yield from` or an `await` missing?"
DROPPED = "was never awaited, and was dropped at PLACE: is a `yield from` or an `await` missing?"


def fails(conn: Any) -> None:
    receiving, sleeping = conn.recv(1), sleep(1)
    raise OSError(f"before {receiving} and {sleeping} began")


def test_it_is_reported_in_every_kind_of_function() -> None:
    def plain(conn: Any) -> None:
        conn.recv(1)

    def generator(conn: Any) -> Generator[Any, None, None]:
        conn.recv(1)
        yield from sleep(0)

    async def coroutine(conn: Any) -> None:
        conn.recv(1)
        await sleep(0)

    for main in (plain, generator, coroutine):
        assert reported(main) == [f"1: operation recv {AT}"]


def test_a_statement_of_several_lines_is_at_its_first() -> None:
    def main(conn: Any) -> None:
        conn.sendall(
            b"xy",
        )

    assert reported(main) == [f"1: operation sendall {AT}"]


def test_a_result_that_is_only_looked_at() -> None:
    def main(conn: Any) -> None:
        if conn.recv(1):
            pass
        assert conn.send(b"x") is not None
        f"{conn.recv(1)}"

    assert reported(main)[0::2] == [f"1: operation recv {AT}", f"4: operation recv {AT}"]


def test_one_that_is_dropped_on_the_way_back_to_the_head_of_a_loop() -> None:
    """That instruction has no line of its own."""

    def main(conn: Any) -> None:
        for wanted in (True, False):
            wanted and conn.recv(1)

    assert reported(main) == [f"2: operation recv {AT}"]


def test_one_in_a_variable_is_reported_where_it_is_dropped() -> None:
    def plain(conn: Any) -> int:
        data = conn.recv(1)
        return len([data])

    def inner(conn: Any) -> Generator[Any, None, None]:
        _data = conn.recv(1)
        yield from sleep(0)

    def main(conn: Any) -> Generator[Any, None, None]:
        plain(conn)
        yield from inner(conn)
        for number in range(2):
            _data = conn.recv(1 + number)
        len([conn.recv(1)])

    assert reported(main) == [f"{line}: operation recv {DROPPED}" for line in (1, 2, 4, 5)]


def test_a_function_of_the_program_that_returns_one_has_its_own_name() -> None:
    def main(conn: Any) -> None:
        ask(conn)

    def ask(conn: Any) -> Any:
        return conn.recv(1)

    assert reported(main) == [f"1: operation ask {AT}"]


def test_the_arguments_of_a_forgotten_one_are_not_reported_and_can_be_awaited() -> None:
    @operation
    def both(*ops: Operation[Any], more: Operation[Any]) -> Generator[Any, None, None]:
        for op in (*ops, more):
            yield from op

    def main(conn: Any) -> Generator[Any, None, None]:
        kept = sleep(0)
        both(conn.recv(1), kept, more=both(more=conn.recv(1)))
        yield from kept

    (told,) = reported(main)
    assert told.startswith("2: operation ")
    assert told.endswith(f"both {AT}")


@pytest.mark.parametrize("timeout_s", [None, 9])
def test_operations_that_an_exception_precedes_are_not_reported(timeout_s: float | None) -> None:
    def main(conn: Any) -> Generator[Any, None, None]:
        conn.settimeout(timeout_s)
        try:
            fails(conn)
        except OSError:
            pass
        try:
            fails(conn)
        except OSError as error:
            str(error)
        try:
            fails(conn)
        except* OSError:
            pass
        try:
            fails(conn)
        except* OSError as errors:
            str(errors)
        with contextlib.suppress(OSError):
            fails(conn)
        for _ in range(2):
            try:
                fails(conn)
            except OSError:
                continue
        with contextlib.suppress(ZeroDivisionError):
            print(conn.recv(1), sleep(1), 1 / 0)
        with contextlib.suppress(TypeError):
            yield conn.recv(1)
        with contextlib.suppress(TypeError):
            conn.recv(1) + 1
        with contextlib.suppress(TimeoutError), timeout(0):
            receiving = conn.recv(1)
            yield from sleep(1)
            yield from receiving
        with contextlib.suppress(OSError):
            yield from newthread(fails, conn).join()
        swallowing(conn)

    def swallowing(conn: Any) -> None:
        try:
            fails(conn)
        except BaseException:
            return

    assert reported(main) == []


@pytest.mark.parametrize("timeout_s", [None, 9])
def test_what_the_program_drops_on_purpose_is_not_reported(timeout_s: float | None) -> None:
    def main(conn: Any) -> None:
        conn.settimeout(timeout_s)
        op = conn.recv(1)
        del op
        op = sleep(1)
        op = None  # noqa: F841
        ops = [conn.recv(1), sleep(1)]
        ops.append(ops)
        del ops
        gc.collect()

    assert reported(main) == []


@pytest.mark.parametrize("timeout_s", [None, 9])
def test_threads_that_are_cancelled_before_their_first_step_are_not_reported(timeout_s: float | None) -> None:
    def main(conn: Any) -> Generator[Any, None, None]:
        conn.settimeout(timeout_s)
        for thread in [newthread(sleep, 100), newthread(conn.recv, 1), newthread(sleep(100))]:
            thread.cancel()
            with contextlib.suppress(Cancelled):
                yield from thread.join()

    assert reported(main) == []


# The warning itself.


def test_filters_apply(recwarn: pytest.WarningsRecorder) -> None:
    namespace = {"sleep": sleep, "__name__": "their.module"}

    def main() -> None:
        for _ in range(3):
            exec(compile("sleep(1)", "their.py", "exec"), namespace)

    for action, count in (("always", 3), ("default", 1), ("ignore", 0)):
        namespace.pop("__warningregistry__", None)
        recwarn.clear()
        warnings.resetwarnings()
        warnings.filterwarnings("error")
        warnings.filterwarnings(action, category=RuntimeWarning, module=r"their\.module")  # type: ignore[arg-type]
        run(main)
        assert len(recwarn) == count
    assert "__warningregistry__" in namespace or action == "ignore"


def test_as_an_error_it_is_unraisable(monkeypatch: pytest.MonkeyPatch) -> None:
    caught: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda args: caught.append((args.exc_type, str(args.exc_value))))

    def main(conn: Any) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            conn.recv(1)
            sleep(1)

    assert reported(main) == []
    assert [kind for kind, _ in caught] == [RuntimeWarning] * 2
    assert "operation recv at " in caught[0][1]


def errors_of(program: str, *options: str) -> str:
    command = [sys.executable, *options, "-c", program]
    return subprocess.run(command, cwd=ROOT, capture_output=True, timeout=LIMIT_S, check=True, text=True).stderr


def test_tracemalloc_tells_where_a_dropped_one_was_made() -> None:
    program = """
import socket2

def drop():
    kept = socket2.tcp().recv(1)  # line 5

drop()
"""
    told = errors_of(program, "-X", "tracemalloc=9", "-W", "ignore::ResourceWarning")
    assert "operation recv was never awaited, and was dropped at <string>:7" in told
    assert 'File "<string>", lineno 5' in told


def test_one_that_the_report_keeps_can_still_be_awaited() -> None:
    kept: list[Any] = []

    def main(conn: Any) -> Generator[Any, None, None]:
        def drop() -> None:
            _sleeping, _sending = sleep(0), conn.send(b"x")

        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            drop()
        kept.extend(one.source for one in told)
        told.clear()
        for op in kept:
            yield from op
        kept.clear()

    assert reported(main) == []


def test_nothing_is_reported_at_the_end_of_the_interpreter() -> None:
    assert errors_of("import socket2; kept = []; socket2.run(lambda: kept.append(socket2.sleep(1)))") == ""


def test_the_report_has_no_internal_name() -> None:
    with pytest.warns(RuntimeWarning, match=r"^operation put at .* was never awaited"):
        Queue[int]().put(1)


def test_the_error_of_a_wrong_call_names_what_was_called() -> None:
    with pytest.raises(TypeError, match=r"^timeout\.__init__\(\) takes 2 "):
        made: Any = timeout
        made(1, 2)


def test_an_operation_that_is_used_as_something_else_is_called_an_operation() -> None:
    async def main() -> None:
        op: Any = sleep(0)
        with pytest.raises(TypeError, match=r"'pollers\.Operation' object"):
            async with op:
                pass
        await op

    run(main)
