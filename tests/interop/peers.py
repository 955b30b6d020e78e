"""The peers of the tests: programs, OS threads, blocking sockets.

Every peer that is started here is ended and joined, whatever happens in its block.
"""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from time import monotonic
from typing import IO, Any, Generic, Literal, ParamSpec, TypeVar

import pytest

import socket2

T = TypeVar("T")
P = ParamSpec("P")

ROOT = Path(__file__).parents[2]

LIMIT_S = 30.0
"""How long a test waits for anything before it fails, in seconds. Nothing takes that long."""

_PACKAGES = {"nc": "netcat-openbsd"}


def needs(program: str, package: str = "") -> str:
    """Return the path of a program, or skip the test."""
    path = shutil.which(program)
    if path is None:
        pytest.skip(f"{program} is not installed (Debian: {package or _PACKAGES.get(program, program)})")
    return path


def pattern(seed: int, size: int) -> bytes:
    """Return bytes that depend only on the seed. A test notices if any of them is lost or moved."""
    return random.Random(seed).randbytes(size)


def run(main: Callable[P, Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run a main thread of socket2, for LIMIT_S at most."""

    async def limited() -> T:
        with socket2.timeout(LIMIT_S):
            return await main(*args, **kwargs)

    result: T = socket2.run(limited)
    return result


class OSThread(threading.Thread, Generic[T]):
    """An OS thread with an outcome."""

    def __init__(self, func: Callable[..., T], *args: Any) -> None:
        super().__init__(name=f"test {func.__qualname__}", daemon=True)
        self._call = (func, args)
        self._value: list[T] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        func, args = self._call
        try:
            self._value.append(func(*args))
        except BaseException as error:
            self._error = error

    def outcome(self) -> T:
        """Wait for its end. Return or raise what the function returned or raised."""
        self.join(LIMIT_S)
        if self.is_alive():
            pytest.fail(f"OS thread {self.name!r} does not end")
        if self._error is not None:
            raise self._error
        return self._value[0]


@contextmanager
def beside(func: Callable[..., T], *args: Any) -> Iterator[OSThread[T]]:
    """Run a function in an OS thread beside the block. Wait for it at the end of the block, and raise its error.

    An error of the block itself takes precedence.
    """
    thread = OSThread(func, *args)
    thread.start()
    try:
        yield thread
    except BaseException:
        thread.join(LIMIT_S)
        raise
    thread.outcome()


class _Output(threading.Thread):
    """The data of a pipe, read as it arrives."""

    def __init__(self, pipe: IO[bytes]) -> None:
        super().__init__(name="test output", daemon=True)
        self._pipe = pipe
        self._text = bytearray()
        self._more = threading.Condition()
        self.start()

    def run(self) -> None:
        while block := os.read(self._pipe.fileno(), 65536):
            with self._more:
                self._text += block
                self._more.notify_all()
        with self._more:
            self._more.notify_all()
        self._pipe.close()

    def so_far(self) -> bytes:
        with self._more:
            return bytes(self._text)

    def wait_for_more(self, than: int, until: float) -> bool:
        """Wait for more than that many bytes. Return False at the end of the pipe, or when the time is over."""
        with self._more:
            while len(self._text) <= than and self.is_alive() and monotonic() < until:
                self._more.wait(0.1)
            return len(self._text) > than


class Program:
    """A program that runs beside the test: `with Program(["nc", ...]) as nc:`.

    It prints on `announces` when it is ready. If it still runs at the end, it is killed, with its children.
    """

    def __init__(
        self,
        command: list[str],
        *,
        stdin: bytes = b"",
        announces: Literal["stdout", "stderr"] = "stdout",
        env: dict[str, str] | None = None,
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        self.command = command
        with tempfile.TemporaryFile() as given:
            given.write(stdin)
            given.seek(0)
            self.process = subprocess.Popen(
                command,
                bufsize=0,
                stdin=subprocess.PIPE if _CTRL_C_BY_STDIN else given if stdin else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_with_ctrl_c(os.environ | (env or {})),
                start_new_session=True,
                pass_fds=pass_fds,
            )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._stdout = _Output(self.process.stdout)
        self._stderr = _Output(self.process.stderr)
        self._announcing = self._stdout if announces == "stdout" else self._stderr

    @property
    def pid(self) -> int:
        return self.process.pid

    def announced(self, what: str) -> re.Match[bytes]:
        """Read its announcements until one matches, and return the match."""
        deadline = monotonic() + LIMIT_S
        at = 0
        while True:
            text = self._announcing.so_far()
            while (end := text.find(b"\n", at)) >= 0:
                if match := re.search(what.encode(), text[at:end].rstrip(b"\r")):
                    return match
                at = end + 1
            if not self._announcing.wait_for_more(len(text), deadline):
                pytest.fail(f"{self.command[0]} did not print {what!r}, but: {self.stdout()!r} {self.stderr()!r}")

    def complains(self, what: bytes) -> None:
        """Wait until this is on its stderr, which may arrive later than its stdout."""
        deadline = monotonic() + LIMIT_S
        while what not in (text := self._stderr.so_far()):
            if not self._stderr.wait_for_more(len(text), deadline):
                pytest.fail(f"{self.command[0]} did not print {what!r} on stderr, but: {self.stderr()!r}")

    def port(self, what: str = r"[Ll]istening on \S+:(\d+)$") -> int:
        return int(self.announced(what)[1])

    def send_signal(self, number: int) -> None:
        if _CTRL_C_BY_STDIN and number == signal.SIGINT:
            assert self.process.stdin is not None
            self.process.stdin.write(b"!")
        else:
            self.process.send_signal(number)

    def wait(self, within_s: float = LIMIT_S) -> int:
        """Wait until it ends by itself, and return its exit status. Fail if that takes too long."""
        try:
            return self.process.wait(within_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.command} has not ended within {within_s:g} s; stderr: {self.stderr().decode()}")

    def output_ended(self) -> bool:
        """Wait until neither it nor its children hold its stdout open."""
        deadline = monotonic() + LIMIT_S
        while self._stdout.wait_for_more(len(self._stdout.so_far()), deadline):
            pass
        return monotonic() < deadline

    def stdout(self) -> bytes:
        """Return all of it if the program has ended, else what has arrived."""
        return self._all_of(self._stdout)

    def stderr(self) -> bytes:
        """Return its stderr in the same way as stdout()."""
        return self._all_of(self._stderr)

    def _all_of(self, output: _Output) -> bytes:
        if self.process.returncode is not None:
            output.join(LIMIT_S)
        return output.so_far().replace(os.linesep.encode(), b"\n")

    def open_files(self) -> int:
        """Return how many descriptors it has open. Skips the test if the system does not report it."""
        directory = Path(f"/proc/{self.pid}/fd")
        if not directory.exists():
            pytest.skip("this system has no /proc")
        return len(list(directory.iterdir()))

    def __enter__(self) -> Program:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.returncode is None:  # nobody has reaped it, so the number is still its own
            if hasattr(os, "killpg"):
                os.killpg(self.pid, signal.SIGKILL)  # its session includes its children
            else:
                self.process.kill()
            self.process.wait(LIMIT_S)
        if self.process.stdin is not None:
            self.process.stdin.close()
        self._stdout.join(LIMIT_S)
        self._stderr.join(LIMIT_S)


def python(path: Path, *args: str, **env: str) -> Program:
    """Run a Python program of the repository in which every warning is an error."""
    search = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return Program([sys.executable, "-W", "error", str(path), *args], env={"PYTHONPATH": search} | env)


# On Windows only consoles have Ctrl-C: see the module in that directory.
_CTRL_C_BY_STDIN = os.name == "nt"


def _with_ctrl_c(env: dict[str, str]) -> dict[str, str]:
    if not _CTRL_C_BY_STDIN:
        return env
    search = [str(ROOT / "tests" / "ctrl_c"), *filter(None, [env.get("PYTHONPATH")])]
    return env | {"PYTHONPATH": os.pathsep.join(search)}


# Blocking sockets of the standard library, for OS threads.


def connect(host: str, port: int) -> socket.socket:
    """Connect a blocking socket whose calls time out after LIMIT_S."""
    sock = socket.create_connection((host, port), LIMIT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def receive_all(sock: socket.socket) -> bytes:
    """Receive to the end of the stream."""
    parts = []
    while part := sock.recv(65536):
        parts.append(part)
    return b"".join(parts)


def receive_exactly(sock: socket.socket, size: int) -> bytes:
    """Receive `size` bytes, or fewer at the end of the stream."""
    data = bytearray()
    while len(data) < size and (part := sock.recv(size - len(data))):
        data += part
    return bytes(data)


def call(command: list[str], stdin: bytes = b"", limit_s: float = LIMIT_S) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end. It blocks, so it is for OS threads. Fails if the exit status is not 0."""
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=limit_s, check=False)
    assert done.returncode == 0, f"{command} has failed: {done.stderr.decode(errors='replace')}"
    return done


# Threads of socket2.


async def take_all(conn: socket2.TCP) -> bytes:
    """Receive to the end of the stream."""
    parts = []
    while part := await conn.recv(65536):
        parts.append(part)
    return b"".join(parts)


async def take_exactly(conn: socket2.TCP, size: int) -> bytes:
    """Receive `size` bytes, or fewer at the end of the stream."""
    data = bytearray()
    while len(data) < size and (part := await conn.recv(size - len(data))):
        data += part
    return bytes(data)


async def give_all(conn: socket2.TCP, data: bytes) -> None:
    """Send, and end the stream in this direction."""
    await conn.sendall(data)
    conn.shutdown(socket.SHUT_WR)


async def echo_all(conn: socket2.TCP) -> None:
    """Send back everything until the end of the stream, and close."""
    with conn:
        while data := await conn.recv(65536):
            await conn.sendall(data)


# Addresses that refuse, or do not answer. They are in this process, so the tests do not depend on the network.

_refusing: list[socket.socket] = []


def refusing_port(host: str = "127.0.0.1", kind: int = socket.SOCK_STREAM) -> int:
    """Return a port that refuses for the rest of the test. It is bound, so that nobody else gets it."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    _refusing.append(sock)
    sock.bind((host, 0))
    if kind == socket.SOCK_DGRAM:
        sock.connect(sock.getsockname())  # it receives datagrams only from itself
    port: int = sock.getsockname()[1]
    return port


def free_refusing_ports() -> None:
    while _refusing:
        _refusing.pop().close()


_BACKLOG = 1
_TCP_INFO_QUEUED = 24  # the offset of tcpi_unacked in struct tcp_info: a listener's accept queue


@contextmanager
def swallowing(host: str = "127.0.0.1", port: int = 0) -> Iterator[int]:
    """A TCP port that does not answer attempts to connect: the queue of its listener is full.

    Linux has room for one more than the backlog, and drops later packets. With a backlog of 0 and no SYN cookies it
    would drop even the first one.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with ExitStack() as stack:
        full = stack.enter_context(socket.create_server((host, port), family=family, backlog=_BACKLOG))
        where = full.getsockname()
        for _ in range(_BACKLOG + 1):
            filler = stack.enter_context(socket.socket(family))
            filler.settimeout(LIMIT_S)
            filler.connect(where)
        if sys.platform == "linux":
            deadline = monotonic() + LIMIT_S
            while _queued(full) <= _BACKLOG:  # the last packet of a handshake may still be on its way
                assert monotonic() < deadline, f"{_queued(full)} of {_BACKLOG + 1} connections have come"
                os.sched_yield()
        else:
            for _ in range(3):
                filler = stack.enter_context(socket.socket(family))
                filler.setblocking(False)
                filler.connect_ex(where)
        yield where[1]


def _queued(listener: socket.socket) -> int:
    info = listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int.from_bytes(info[_TCP_INFO_QUEUED : _TCP_INFO_QUEUED + 4], sys.byteorder)


@contextmanager
def refusing() -> Iterator[int]:
    """A TCP port without a listener, which nobody else gets during the block."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        yield int(sock.getsockname()[1])
