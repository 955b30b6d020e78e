"""A child process from its start to its end, with its input given and its output returned."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pollers import Cancelled, Closed, Operation, operation

from ..sockets.socket import check_octets
from ..streams.stream import Stream
from ..threads.loop import newthread
from ..threads.osthreads import call_in_thread
from ..threads.thread import Thread
from ..threads.unbroken import unbroken
from .child import Process, checked, process

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, StrOrBytesPath

    from .child import Redirect

PIPE = subprocess.PIPE


def run_process(
    args: Sequence[StrOrBytesPath],
    *,
    input: ReadableBuffer | None = None,
    stdin: Redirect = None,
    stdout: Redirect = None,
    stderr: Redirect = None,
    capture_output: bool = False,
    check: bool = True,
    env: Mapping[str, str] | None = None,
    cwd: StrOrBytesPath | None = None,
    start_new_session: bool = False,
) -> Operation[subprocess.CompletedProcess[bytes]]:
    """Run a child process to its end: `done = yield from run_process(["date"], capture_output=True)`.

    `input`: what it reads from its standard input; None: what `stdin` says. `capture_output`: return what it writes to
    its standard and error outputs, as `done.stdout` and `done.stderr`; for one of them use `stdout=PIPE` or
    `stderr=PIPE`. `check`: raise subprocess.CalledProcessError, which has the output, if the exit code is not 0. There
    is no `pass_fds`. The other arguments and errors are those of process(). Returns a subprocess.CompletedProcess. A
    child that does not read all of its input is no error. If the child leaves a process behind that has its output
    open, this waits for that, too.

    A cancellation or timeout, such as `with timeout(5):`, kills the child and takes its exit code; what it has written
    is dropped. Raises ValueError if `input` is given together with `stdin`, or `capture_output` with `stdout` or
    `stderr`. On Windows an OS thread talks to the child.
    """
    if input is not None:
        check_octets(input)
        if stdin is not None:
            raise ValueError("either input or stdin, not both")
        stdin = PIPE
    if capture_output:
        if stdout is not None or stderr is not None:
            raise ValueError("capture_output means stdout=PIPE and stderr=PIPE")
        stdout = stderr = PIPE
    if stdin is PIPE and input is None:
        input = b""
    arguments = checked(args, env, cwd, (stdin, stdout, stderr))
    options: dict[str, Any] = {"env": env, "cwd": cwd, "start_new_session": start_new_session}
    options |= {"stdin": stdin, "stdout": stdout, "stderr": stderr}
    return _run(arguments, input, check, options)


@operation
def _run(
    args: Sequence[StrOrBytesPath], input: ReadableBuffer | None, check: bool, options: dict[str, Any]
) -> Generator[Any, None, subprocess.CompletedProcess[bytes]]:
    try:
        child = process(args, **options)
    except io.UnsupportedOperation:
        code, out, err = yield from _run_in_os_thread(args, input, options)
    else:
        with child:
            code, out, err = yield from _talk(child, input, options)
    done = subprocess.CompletedProcess(list(args), code, out, err)
    if check:
        done.check_returncode()
    return done


@operation
def _talk(
    child: Process, input: ReadableBuffer | None, options: dict[str, Any]
) -> Generator[Any, None, tuple[int, bytes | None, bytes | None]]:
    threads: dict[str, Thread[bytes | None]] = {}
    try:
        if input is not None:
            threads["stdin"] = newthread(_feed, child.stdin, input)
        for name, made in (("stdout", options["stdout"]), ("stderr", options["stderr"])):
            if made is not PIPE:
                continue  # see threads/lock.py
            threads[name] = newthread(_received, getattr(child, name))
        outcomes = {}
        for name, thread in threads.items():
            outcomes[name] = yield from thread.join()
        code = yield from child.wait()
    finally:
        for thread in threads.values():
            thread.cancel()
    return code, outcomes.get("stdout"), outcomes.get("stderr")


def _feed(to: Stream, data: ReadableBuffer) -> Generator[Any, None, None]:
    with to, suppress(BrokenPipeError, Closed):
        yield from to.sendall(data)


def _received(source: Stream) -> Generator[Any, None, bytes]:
    try:
        return (yield from source.recvall())
    except Closed:  # the block was left
        return b""


@operation
def _run_in_os_thread(
    args: Sequence[StrOrBytesPath], input: ReadableBuffer | None, options: dict[str, Any]
) -> Generator[Any, None, tuple[int, bytes | None, bytes | None]]:
    """The poller cannot wait for pipes."""
    popen = subprocess.Popen(list(args), **options)
    talking = newthread(call_in_thread, popen.communicate, None if input is None else bytes(memoryview(input)))
    try:
        out, err = yield from talking.join()
    except Cancelled:
        popen.kill()  # then communicate() ends, and takes the exit code
        yield from unbroken(talking.join())
        raise
    except BaseException:
        popen.kill()
        raise
    return popen.returncode, out, err
