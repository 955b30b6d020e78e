"""Asks a process from outside what its threads are doing, and answers: both ends of a private UNIX socket.

Answers come from a separate OS thread, so they come even while the loop is blocked. The socket is in a directory that
only its user may enter. The kernel reports who connects. Clients can ask for reports and nothing else.
"""

from __future__ import annotations

import os
import selectors
import socket
import stat
import sys
import tempfile
import threading
import traceback
from contextlib import suppress

from pollers import leakproof, peer_uid, remove_stale

from ..threads.scheduler import PoolThread
from .listing import REPORTS, printable, report

ANSWER_S = 5.0
"""How many seconds either side waits for the other."""

_QUESTION_MAX = 64
_OK = b"ok\n"

# Held while a report is made, and while the process forks: a report takes locks of pollers and others, and the child
# would wait for them forever.
_reporting = leakproof(threading.RLock())
_FORK_S = 1.0  # how long a fork waits for it

# The pause after an accept for which the system had no descriptor.
_ACCEPT_AGAIN_S = 0.1


class Unanswered(Exception):
    """A process could not be asked. The message is one line that says why."""


class Late(Unanswered):
    """The process did not answer in time."""


def directory(uid: int) -> str:
    """Return the directory of a user's debug sockets: SOCKET2_DEBUG_DIR, or one among the temporary files."""
    return os.environ.get("SOCKET2_DEBUG_DIR") or os.path.join(tempfile.gettempdir(), f"socket2-{uid}")


def _check_directory(path: str, uid: int) -> None:
    """Raise OSError unless only this user can have put anything there."""
    found = os.lstat(path)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != uid or stat.S_IMODE(found.st_mode) & 0o077:
        raise PermissionError(f"{path} is not a directory that is private to user {uid}")


class Answerer:
    """Answers questions from start() to stop(), in its own OS thread."""

    def __init__(self) -> None:
        self._path: str | None = None
        self._listener: socket.socket | None = None
        self._conn: socket.socket | None = None
        self._ending = threading.Event()
        self._asked, self._asking = socket.socketpair()
        self._asked.setblocking(False)
        self._asking.setblocking(False)
        self._thread = PoolThread(target=self._work, name="socket2 debug", daemon=True)

    def listen(self) -> None:
        """Let other processes ask, if the system has UNIX sockets. Raises OSError if there is no private directory."""
        if not hasattr(socket, "AF_UNIX"):
            return
        uid = os.geteuid()
        home = directory(uid)
        with suppress(FileExistsError):
            os.mkdir(home, 0o700)
        _check_directory(home, uid)
        _sweep(home)
        path = os.path.join(home, str(os.getpid()))
        with suppress(FileNotFoundError):
            os.unlink(path)  # left by a process with the same pid that could not clean up
        listener = socket.socket(socket.AF_UNIX)
        try:
            listener.bind(path)
            os.chmod(path, 0o600)
            listener.listen()
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
        self._path, self._listener = path, listener

    def start(self) -> None:
        self._thread.start()

    def ask(self) -> None:
        """Request a full report on stderr. Safe to call in a signal handler."""
        with suppress(OSError):  # full of such requests already
            self._asking.send(b"?")

    def stop(self) -> None:
        self._ending.set()
        self.ask()
        self._thread.join()
        if self._path is not None:
            with suppress(OSError):
                os.unlink(self._path)
        self.forget()

    def forget(self) -> None:
        """Close the descriptors: all that a forked child inherits of this object."""
        for sock in (self._listener, self._conn, self._asked, self._asking):
            if sock is not None:
                sock.close()

    def _work(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._asked, selectors.EVENT_READ)
            if self._listener is not None:
                selector.register(self._listener, selectors.EVENT_READ)
            while not self._ending.is_set():
                for key, _ in selector.select():
                    if key.fileobj is self._asked:
                        self._asked.recv(4096)
                        if not self._ending.is_set():
                            _report_on_stderr()
                    else:
                        self._accept()

    def _accept(self) -> None:
        assert self._listener is not None
        try:
            with _reporting:  # a child that is forked now would keep it open
                conn, _ = self._listener.accept()
                self._conn = conn
        except (BlockingIOError, ConnectionError):
            return
        except OSError:
            self._ending.wait(_ACCEPT_AGAIN_S)
            return
        with conn, suppress(OSError):  # the client may leave at any time
            conn.settimeout(ANSWER_S)
            if peer_uid(conn) in (os.geteuid(), 0):
                conn.sendall(_answer(conn.recv(_QUESTION_MAX).decode(errors="replace").strip()))
            conn.shutdown(socket.SHUT_RDWR)  # the end comes even if a child has the descriptor


def _answer(question: str) -> bytes:
    if question not in REPORTS:
        return f"unknown report {question!r}\n".encode()
    try:
        with _reporting:
            return _OK + report(question).encode(errors="backslashreplace")
    except Exception:
        return f"the report failed:\n{traceback.format_exc()}".encode(errors="backslashreplace")


def _report_on_stderr() -> None:
    with suppress(Exception):  # if stderr is broken, nobody can be told
        try:
            with _reporting:
                text = report("everything")
        except Exception:
            text = traceback.format_exc()
        sys.stderr.write(text)
        sys.stderr.flush()


def _sweep(home: str) -> None:
    """Remove the sockets of dead processes. Their pids may be from another PID namespace."""
    for name in os.listdir(home):
        remove_stale(os.path.join(home, name), _probe)


def _probe() -> socket.socket:
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)


def remove_socket_of(pid: int) -> None:
    """Remove the socket of a process of this user that could not clean up."""
    remove_stale(os.path.join(directory(os.geteuid()), str(pid)), _probe)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True


def ask(pid: int, question: str, limit_s: float | None = None) -> str:
    """Return a report about the process `pid`. Raises Unanswered, and after `limit_s` seconds the subclass Late.

    `limit_s`: by default ANSWER_S.
    """
    if limit_s is None:
        limit_s = ANSWER_S
    if not hasattr(socket, "AF_UNIX"):
        raise Unanswered("this system has no UNIX sockets")
    if not _is_alive(pid):
        raise Unanswered(f"there is no process {pid}")
    uid = _owner(pid)
    if uid is None:
        raise Unanswered(f"process {pid} belongs to another user")
    try:
        home = _home_of(uid, pid)
        _check_directory(home, uid)
        answer = _exchange(os.path.join(home, str(pid)), question, limit_s)
    except (FileNotFoundError, ConnectionRefusedError):
        raise Unanswered(
            f"process {pid} does not answer: start it with SOCKET2_DEBUG=1, or call socket2.debug.enable() in it"
        ) from None
    except TimeoutError:
        raise Late(
            f"process {pid} did not answer within {limit_s:g} s: it is stopped, or C code holds its interpreter"
        ) from None
    except OSError as error:
        raise Unanswered(f"process {pid}: {error.strerror or error}") from None
    if not answer.startswith(_OK):
        raise Unanswered(f"process {pid}: {answer.decode(errors='replace').strip() or 'it closed the connection'}")
    text = answer.removeprefix(_OK).decode(errors="replace")
    return "\n".join(map(printable, text.split("\n")))


def _owner(pid: int) -> int | None:
    """Return the user of a process, None if we may not ask it."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return None
    if os.geteuid() == 0:
        with suppress(OSError):  # without /proc we take it for our own
            return os.stat(f"/proc/{pid}").st_uid
    return os.geteuid()


def _home_of(uid: int, pid: int) -> str:
    """Return the directory of a process's socket, as seen from here: a service may have private temporary files."""
    homes = directory(uid), f"/proc/{pid}/root{directory(uid)}"
    return next((home for home in homes if os.path.exists(os.path.join(home, str(pid)))), homes[0])


def _exchange(path: str, question: str, limit_s: float) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(limit_s)
        sock.connect(path)
        sock.sendall(question.encode() + b"\n")
        sock.shutdown(socket.SHUT_WR)
        parts = []
        while True:  # see threads/lock.py
            part = sock.recv(1 << 16)
            if not part:
                break
            parts.append(part)
    return b"".join(parts)


class _Forking(threading.local):
    holds = False


_forking = _Forking()


def _before_fork() -> None:
    # Not forever: a report may wait for a lock of the program that the forking OS thread holds.
    _forking.holds = _reporting.acquire(timeout=_FORK_S)


def _after_fork() -> None:
    if _forking.holds:
        _reporting.release()


def _after_fork_in_child() -> None:
    global _reporting
    _reporting = leakproof(threading.RLock())  # the old one may be held by an OS thread that is not here


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_after_fork_in_child)
