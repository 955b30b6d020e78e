"""A child process and the streams to it. It does not outlive the block that it was started for.

The pipes and the child's end are waited for like sockets. Starting a child blocks for as long as fork and exec take.
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Collection, Generator, Mapping, Sequence
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, TypeAlias

import pollers
from pollers import Closed, Operation, operation

from ..files.fdstream import FdStream, our_end
from ..files.waitable import check_system
from ..sockets.socket import Socket, place_of
from ..streams.stream import Stream, stream
from ..threads.block import Block
from ..threads.sleeping import sleep
from ..threads.thread import currentthread, interruption_first, over_at_once
from ..threads.turns import Turns
from ..threads.unbroken import unbroken
from . import reaping

if TYPE_CHECKING:
    from typing import Self

    from _typeshed import FileDescriptorLike, StrOrBytesPath

    Redirect: TypeAlias = FileDescriptorLike | Stream | Socket | None

# How long leaving a plain `with` block waits for the end of a child that was killed.
_KILLED_S = 0.1

# How often wait() looks whether the child has ended, if it can neither wait for that nor start an OS thread.
_AGAIN_S = 0.01

_STANDARD = ("stdin", "stdout", "stderr")


class Process(pollers.Unique, Block):
    """A child process. process() makes it. Use it in a block: `with process(["ls"], stdout=PIPE) as child: ...`.

    Leaving the block, also by a cancellation or an error, closes the pipes, kills the child if it is still alive, and
    takes its exit code, so that no zombie is left. `async with` waits for that like any operation, and is not cut
    short. A plain `with`, for generators, blocks the OS thread for that, normally less than a millisecond; if the
    system needs longer than 0.1 s to end the child, an OS thread does the rest.
    """

    __slots__ = ("__weakref__", "_changed", "_code", "_popen", "_streams", "_turns", "_watcher", "args", "pid")

    def __init__(self, popen: subprocess.Popen[bytes], args: list[Any], streams: dict[str, Stream]) -> None:
        self.args = args
        """The program and its arguments."""
        self.pid: int = popen.pid
        """The number of the process."""
        self._popen = popen
        self._code = reaping.ExitCode(popen)
        self._streams = streams
        self._turns = Turns()
        self._watcher: reaping.Watcher | None = None
        self._changed = pollers.leakproof(threading.RLock())  # a signal handler may send the child a signal

    # The streams.

    @property
    def stdin(self) -> Stream:
        """Writes to the child's standard input. close() it to end that. ValueError unless it was started with PIPE."""
        return self._stream("stdin")

    @property
    def stdout(self) -> Stream:
        """Reads the child's standard output. Raises ValueError unless it was started with `stdout=PIPE`."""
        return self._stream("stdout")

    @property
    def stderr(self) -> Stream:
        """Reads the child's standard error output. Raises ValueError unless it was started with `stderr=PIPE`."""
        return self._stream("stderr")

    def _stream(self, name: str) -> Stream:
        if name not in self._streams:
            raise ValueError(f"{name} is no stream: start the process with {name}=subprocess.PIPE")
        return self._streams[name]

    # The end.

    def _reap(self) -> int | None:
        with self._changed:
            return self._code.look(watched=self._watcher is not None)

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal that has ended the child; None if it is still running.

        Raises ChildProcessError if other code has waited for the child, or if SIGCHLD is ignored: then the system has
        forgotten the exit code.
        """
        return self._reap()

    def wait(self) -> Operation[int]:
        """Wait until the child has ended. Return its exit code, negative for the signal that ended it. waitpid(2).

        Any number of threads may wait. With `stdout=PIPE` or `stderr=PIPE`, receive until the end first: a child whose
        pipe is full does not end. A cancellation or timeout leaves the child alone, and wait() can be called again.
        Raises ChildProcessError as `returncode` does; RuntimeError outside a thread.
        """
        currentthread()
        return self._wait()

    @operation
    def _wait(self) -> Generator[Any, None, int]:
        if (turn := over_at_once()) is not None:
            yield from turn.wait()
        while (code := self._reap()) is None:
            yield from self._turns.through(f"end of process {self.pid}", self._ended())
        return code

    @operation
    def _ended(self) -> Generator[Any, None, None]:
        if self._reap() is not None:
            return  # the one before has seen it
        pidfd = None if self._watcher is not None else reaping.open_pidfd(self.pid)
        if pidfd is not None:
            try:
                return (yield from reaping.ended(pidfd))
            except io.UnsupportedOperation:
                pass  # this poller waits for sockets only
        try:
            watcher = self._watched()
        except RuntimeError:  # no OS thread can be started
            yield from sleep(_AGAIN_S)
            return
        yield from watcher.ended()

    def _watched(self) -> reaping.Watcher:
        with self._changed:
            if self._watcher is None:
                self._watcher = reaping.Watcher(self._code, self._reap)
            return self._watcher

    # Signals.

    def send_signal(self, number: int) -> None:
        """Send a signal to the child. Does nothing if it has ended. kill(2)."""
        with self._changed:  # until then its number stays its own
            if not self._has_ended():
                self._popen.send_signal(number)

    def terminate(self) -> None:
        """Ask the child to end: SIGTERM, on Windows as kill()."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the child at once: SIGKILL. Children of its own live on."""
        self.send_signal(getattr(signal, "SIGKILL", signal.SIGTERM))

    # The block.

    def _stop(self) -> bool:
        """Close the streams and kill the child. Return False if it had ended already."""
        for each in self._streams.values():
            each.close()
        if self._has_ended():
            return False
        self.kill()
        return True

    def _has_ended(self) -> bool:
        try:
            return self._reap() is not None
        except ChildProcessError:
            return True

    def __exit__(self, *_: object) -> None:
        if self._stop():
            with suppress(RuntimeError):  # no OS thread can be started: nobody takes the exit code then
                self._block_until_ended()

    def _block_until_ended(self) -> None:
        """Wait for the end of a child that was killed, but not long. An OS thread does the rest."""
        pidfd = None if self._watcher is not None else reaping.open_pidfd(self.pid)
        if pidfd is not None:
            reaping.block_until_readable(pidfd, _KILLED_S)
        else:
            self._watched().os_thread.join(_KILLED_S)
        if not self._has_ended():
            self._watched()

    @operation
    def __aenter__(self) -> Generator[Any, None, Self]:
        try:
            if (turn := interruption_first()) is not None:
                yield from turn.wait()  # the end of the block leaves an interruption to the next wait
        except BaseException as error:
            yield from self.__aexit__(type(error), error, None)
            raise
        return self

    @operation
    def _leave(self) -> Generator[Any, None, None]:
        if self._stop():
            with suppress(ChildProcessError):
                yield from unbroken(self.wait())

    def __repr__(self) -> str:
        code = self._popen.returncode
        state = "running" if code is None else "ended, exit code lost" if self._code.lost else f"ended with {code}"
        return f"<Process {self.pid}, {os.fsdecode(self.args[0])}, {state}>"


def process(
    args: Sequence[StrOrBytesPath],
    *,
    stdin: Redirect = None,
    stdout: Redirect = None,
    stderr: Redirect = None,
    env: Mapping[str, str] | None = None,
    cwd: StrOrBytesPath | None = None,
    start_new_session: bool = False,
    pass_fds: Collection[int] = (),
) -> Process:
    """Start a child process: `with process(["grep", "x"], stdin=PIPE, stdout=PIPE) as child: ...`.

    `args`: the program, which is looked up in PATH, and its arguments. There is no shell. `stdin`, `stdout`, `stderr`:
    None for ours; `subprocess.PIPE` for a stream of the same name; `subprocess.DEVNULL`; `subprocess.STDOUT` to have
    stderr go where stdout goes; a descriptor or an object with fileno(), which stays open here. A Stream, FdStream or
    socket of socket2 is handed over: the child gets it in blocking mode, and here it is closed, which makes pipelines.
    `env`: the environment instead of ours. `cwd`: the directory to start in. `start_new_session`: setsid(2), so that
    Ctrl-C at the terminal does not reach the child. `pass_fds`: further descriptors; the child gets no others.

    It blocks for as long as the system needs to start the program, normally about a millisecond, and raises OSError if
    it cannot: FileNotFoundError, PermissionError. TypeError if `args` is one string, or for a stream over TLS;
    ValueError if `args` is empty, for a negative descriptor, for STDOUT that is not `stderr`, or if a stream that is
    handed over has unread bytes in its buffer. On Windows, PIPE and streams raise io.UnsupportedOperation: there use
    run_process(), files or DEVNULL. fork(2), execve(2).
    """
    arguments = checked(args, env, cwd, (stdin, stdout, stderr))
    made_at = place_of(sys._getframe(1))
    streams: dict[str, Stream] = {}
    given: dict[str, Any] = {}
    handed = _Handed()
    with ExitStack() as of_child, ExitStack() as ours:
        for name, redirect in zip(_STANDARD, (stdin, stdout, stderr), strict=True):
            if redirect is subprocess.PIPE:
                theirs, end = _pipe_to(name, made_at)
                of_child.callback(os.close, theirs)
                streams[name] = ours.enter_context(stream(end))
                given[name] = theirs
            else:
                given[name] = handed.descriptor(redirect)
        with handed:
            popen = subprocess.Popen(
                arguments,
                **given,
                bufsize=0,
                env=env,
                cwd=cwd,
                start_new_session=start_new_session,
                pass_fds=pass_fds,
            )
        ours.pop_all()
    return Process(popen, arguments, streams)


def checked(
    args: Sequence[StrOrBytesPath], env: object, cwd: StrOrBytesPath | None, redirects: tuple[Redirect, ...]
) -> list[StrOrBytesPath]:
    """Return the arguments of a program as a list. Raises TypeError or ValueError if something is wrong."""
    if isinstance(args, (str, bytes, os.PathLike)):
        raise TypeError(f"a list of arguments is needed, such as ['ls', '-l'], not {args!r}")
    if not isinstance(env, Mapping | None):
        raise TypeError(f"an environment must be a mapping, such as a dict, not {env!r}")
    for name, redirect in zip(_STANDARD, redirects, strict=True):
        if redirect is not None:
            _check_redirect(name, redirect)
    if cwd is not None:
        os.fspath(cwd)
    arguments = list(args)
    if not arguments:
        raise ValueError("no program to start")
    return arguments


def _check_redirect(name: str, redirect: object) -> None:
    if isinstance(redirect, int):
        if redirect == subprocess.STDOUT and name != "stderr":
            raise ValueError(f"{name} cannot be STDOUT, which sends stderr where stdout goes")
        if redirect < 0 and redirect not in (subprocess.PIPE, subprocess.STDOUT, subprocess.DEVNULL):
            raise ValueError(f"{name} must be PIPE, DEVNULL or a descriptor, not {redirect}")
    elif not callable(getattr(redirect, "fileno", None)):
        raise TypeError(
            f"a child's stream must be None, PIPE, DEVNULL, a descriptor or an object with fileno(), not {redirect!r}"
        )


def _pipe_to(name: str, made_at: str) -> tuple[int, FdStream]:
    """Make a pipe. Return the child's end, and our end as a stream."""
    check_system()
    reading, writing = os.pipe()
    theirs, mine = (reading, writing) if name == "stdin" else (writing, reading)
    return theirs, our_end(mine, made_at)


class _Handed:
    """Streams and sockets of ours that a child gets. They are made blocking to start it, and closed afterwards."""

    def __init__(self) -> None:
        self._each: list[Stream | FdStream | Socket] = []
        self._ours: list[int] = []  # the descriptors whose O_NONBLOCK flag is ours
        self._were: list[tuple[int, bool]] = []

    def descriptor(self, redirect: Redirect) -> Any:
        """Return what subprocess gets for `redirect`."""
        if not isinstance(redirect, (Stream, FdStream, Socket)):
            return redirect
        lowest: Any = redirect
        while isinstance(lowest, Stream):
            if lowest.buffered:
                raise ValueError(f"{lowest!r} has bytes in its buffer, which the child would not get")
            lowest = lowest.sock
        if not isinstance(lowest, (FdStream, Socket)):
            raise TypeError(f"a child can be given a pipe or a socket, but not {lowest!r}, which has more to do")
        fd = lowest.fileno()
        if fd < 0:
            raise Closed()
        self._each.append(redirect)
        if isinstance(lowest, Socket) or lowest.private:
            self._ours.append(fd)
        return fd

    def __enter__(self) -> None:
        for fd in self._ours:
            self._were.append((fd, os.get_blocking(fd)))
            os.set_blocking(fd, True)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            for each in self._each:
                each.close()
        else:
            for fd, blocking in reversed(self._were):
                os.set_blocking(fd, blocking)
