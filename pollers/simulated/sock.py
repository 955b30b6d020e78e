"""A socket in the form of socket.socket: one descriptor of a simulated host, and the timeout of this object.

A call finds its description by the number, as system calls do: if somebody else has closed the descriptor, the call
fails with EBADF or meets the socket that has the number now. A call that has to wait lets the virtual time pass.
"""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ..operation import system_error
from . import options
from .description import IN, MSG_DONTWAIT, OUT, Description, fail
from .kinds import new
from .surroundings import Home

# More bytes than this are in no memory.
_BUFFER_MAX = 1 << 46


class Sock:
    """The interface of socket.socket."""

    def __init__(self, family: int, type: int, proto: int = 0, fileno: int | None = None, *, host: Home) -> None:
        self._fd = -1
        self._host = host
        self._world = host.world
        self._descriptors = host.descriptors
        self.timeout: float | None = None
        if fileno is None:
            with self._world.lock:
                self._world.calls += 1
                self._may_fail("socket", "")
                description = new(host, family, type & 0xF, proto)
                fileno = host.add(description)
        else:
            description = host.get(fileno)
        self._fd = fileno
        self.family = _known(socket.AddressFamily, description.family)
        self.type = _known(socket.SocketKind, description.type)
        self.proto = description.proto

    @classmethod
    def of(cls, host: Home, description: Description) -> Sock:
        """Return a socket with a new descriptor. Raises OSError (EMFILE)."""
        return cls(0, 0, 0, host.add(description), host=host)

    # The descriptor.

    def fileno(self) -> int:
        return self._fd

    def detach(self) -> int:
        fd, self._fd = self._fd, -1
        return fd

    def dup(self) -> Sock:
        with self._world.lock:
            made = Sock.of(self._host, self._own())
        made.timeout = self.timeout
        return made

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with self._world.lock:
                if self.timeout != 0:
                    self._linger(fd)
                self._world.calls += 1
                if self._world.trace is not None and fd in self._descriptors:
                    self._traced("close", self._descriptors[fd], "", fd)
                self._host.close(fd)

    def _linger(self, fd: int) -> None:
        """SO_LINGER makes a blocking close wait until everything is acknowledged: socket(7)."""
        description = self._descriptors.get(fd)
        seconds = options.lingers_s(description) if description is not None else 0
        if description is not None and seconds and description.references == 1 and description.unacknowledged():
            description.end()
            self._world.wait(lambda: not description.unacknowledged(), seconds)

    def _own(self) -> Description:
        try:
            description: Description = self._descriptors[self._fd]
        except KeyError:
            raise system_error(errno.EBADF) from None
        return description

    @property
    def description(self) -> Description:
        """What the descriptor refers to. Raises OSError (EBADF)."""
        return self._own()

    # Blocking.

    def setblocking(self, flag: bool) -> None:
        self.timeout = None if flag else 0.0
        self._own()

    def settimeout(self, value: float | None) -> None:
        if value is not None and value < 0:
            raise ValueError("Timeout value out of range")
        self.timeout = value
        self._own()

    def gettimeout(self) -> float | None:
        return self.timeout

    def getblocking(self) -> bool:
        return self.timeout != 0.0

    def _waiting(self, description: Description, bit: int, call: Callable[[], Any]) -> Any:
        """Make a call again and again until it does not block."""
        timeout_s = self.timeout
        until_s = None if timeout_s is None else self._world.monotonic() + timeout_s
        while True:
            left_s = None if until_s is None else max(until_s - self._world.monotonic(), 0.0)
            over = self._world.wait(lambda: description.closed or description.poll() & (bit | 0x18), left_s)
            try:
                return call()
            except BlockingIOError:
                if not over:
                    raise TimeoutError("timed out") from None

    # Names and options.

    def getsockname(self) -> Any:
        with self._world.lock:
            return self._own().name()

    def getpeername(self) -> Any:
        with self._world.lock:
            return self._own().peername()

    def setsockopt(self, level: int, option: int, value: Any, optlen: int | None = None) -> None:
        with self._world.lock:
            options.set_option(self._own(), level, option, value)

    def getsockopt(self, level: int, option: int, buflen: int = 0) -> Any:
        with self._world.lock:
            return options.get_option(self._own(), level, option, buflen)

    def bind(self, address: Any) -> None:
        with self._world.lock:
            description = self._begin("bind")
            description.bind(address)
            if self._world.trace is not None:
                self._traced("bind", description, "")

    def bind_path(self, path: Any, mode: int | None, owner: tuple[int, int], begin: Callable[[], object]) -> Any:
        """Do what pollers.bind_path() does. The path is no file."""
        with self._world.lock:
            return self._begin("bind").bind_path(path, mode, begin)

    def close_descriptor(self, fd: int) -> None:
        """Close a descriptor that has come over this socket. Raises OSError (EBADF)."""
        self._host.close(fd)

    def listen(self, backlog: int = 128) -> None:
        with self._world.lock:
            description = self._begin("listen")
            description.listen(backlog)
            if self._world.trace is not None:
                self._traced("listen", description, str(backlog))

    def shutdown(self, how: int) -> None:
        with self._world.lock:
            description = self._begin("shutdown")
            if how not in (0, 1, 2):
                fail(errno.EINVAL)
            description.shutdown(how)
            if self._world.trace is not None:
                self._traced("shutdown", description, str(how))

    def disconnect(self) -> None:
        """Connect to AF_UNSPEC: undo the connect of a datagram socket."""
        with self._world.lock:
            self._begin("connect").disconnect()

    # Connections.

    def connect(self, address: Any) -> None:
        number = self.connect_ex(address)
        if number:
            if number == errno.EINPROGRESS and self.timeout:
                raise TimeoutError("timed out")
            raise system_error(number)

    def connect_ex(self, address: Any) -> int:
        with self._world.lock:
            try:
                description = self._begin("connect")
                number = description.connect(address, self.timeout != 0)
                if number in (errno.EINPROGRESS, errno.EAGAIN) and self.timeout != 0:
                    number = self._connecting(description, number, address)
            except OSError as error:
                if error.errno is None or isinstance(error, socket.gaierror):
                    raise
                number = error.errno
            if self._world.trace is not None:
                self._traced("connect", description, f"{address} -> {errno.errorcode.get(number, number)}")
            return number

    def _connecting(self, description: Description, number: int, address: Any) -> int:
        until_s = None if self.timeout is None else self._world.monotonic() + self.timeout
        while number in (errno.EINPROGRESS, errno.EAGAIN):
            left_s = None if until_s is None else max(until_s - self._world.monotonic(), 0)
            if not self._world.wait(lambda: description.can_connect(address), left_s):
                return number
            number = description.connect(address, True)
        return number

    def accept(self) -> tuple[Sock, Any]:
        with self._world.lock:
            description = self._begin("accept")
            if len(self._descriptors) >= self._host.descriptors_max:
                fail(errno.EMFILE)  # before it looks at the queue
            try:
                made, address = description.accept()
            except BlockingIOError:
                if self.timeout == 0:
                    raise
                made, address = self._waiting(description, IN, description.accept)
            if self._world.trace is not None:
                self._traced("accept", description, str(address))
            return Sock.of(self._host, made), address

    # Receiving.

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        if not 0 <= bufsize <= _BUFFER_MAX:
            _refuse(bufsize, "recv")
        with self._world.lock:
            description = self._begin("recv")
            try:
                data: bytes = description.receive(bufsize, flags, 0)[0]
            except BlockingIOError:
                if self.timeout == 0 or flags & MSG_DONTWAIT:
                    raise
                data = self._waiting(description, IN, lambda: description.receive(bufsize, flags, 0))[0]
            if self._world.trace is not None:
                self._traced("recv", description, f"{bufsize} -> {len(data)}")
            return data

    def _receive(self, call: str, n: int, flags: int, room: int) -> Any:
        with self._world.lock:
            if not 0 <= n <= _BUFFER_MAX:
                _refuse(n, call)
            description = self._begin("recv")
            try:
                received = description.receive(n, flags, room)
            except BlockingIOError:
                if self.timeout == 0 or flags & MSG_DONTWAIT:
                    raise
                received = self._waiting(description, IN, lambda: description.receive(n, flags, room))
            if self._world.trace is not None:
                self._traced("recv", description, f"{n} -> {len(received[0])}")
            return received

    def recvfrom(self, bufsize: int, flags: int = 0) -> tuple[bytes, Any]:
        received = self._receive("recvfrom", bufsize, flags, 0)
        return received[0], received[1]

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        return self.recvfrom_into(buffer, nbytes, flags)[0]

    def recvfrom_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> tuple[int, Any]:
        with memoryview(buffer) as whole, whole.cast("B") as view:
            received = self._receive("recvfrom_into", nbytes or len(view), flags, 0)
            n = len(received[0])
            view[:n] = received[0]
            return n, received[1]

    def recvmsg(self, bufsize: int, ancbufsize: int = 0, flags: int = 0) -> tuple[bytes, list[Any], int, Any]:
        data, address, got, control = self._receive("recvmsg", bufsize, flags, ancbufsize)
        return data, control, got, address

    # Sending.

    def send(self, data: Any, flags: int = 0) -> int:
        with self._world.lock:
            description = self._begin("send")
            if type(data) is not bytes:
                data = bytes(data)
            try:
                n = description.send(data, flags, None, None)
            except BlockingIOError:
                if self.timeout == 0 or flags & MSG_DONTWAIT:
                    raise
                n = self._waiting(description, OUT, lambda: description.send(data, flags, None, None))
            if self._world.trace is not None:
                self._traced("send", description, f"{len(data)} -> {n}")
            return n

    def sendall(self, data: Any, flags: int = 0) -> None:
        with memoryview(data) as whole, whole.cast("B") as view:
            sent = 0
            while sent < len(view):
                sent += self.send(view[sent:], flags)

    def sendto(self, data: Any, *args: Any) -> int:
        flags, address = (0, args[0]) if len(args) == 1 else args
        return self._send([data], flags, address, None)

    def sendmsg(
        self, buffers: Any, ancdata: Sequence[tuple[int, int, Any]] = (), flags: int = 0, address: Any = None
    ) -> int:
        return self._send(buffers, flags, address, [(*one[:2], bytes(one[2])) for one in ancdata])

    def _send(self, buffers: Any, flags: int, address: Any, control: Any) -> int:
        data = b"".join(bytes(one) for one in buffers)
        with self._world.lock:
            description = self._begin("send")
            try:
                n = description.send(data, flags, address, control)
            except BlockingIOError:
                if self.timeout == 0 or flags & MSG_DONTWAIT:
                    raise
                n = self._waiting(description, OUT, lambda: description.send(data, flags, address, control))
            if self._world.trace is not None:
                self._traced("send", description, f"{len(data)} -> {n}")
            return n

    def makefile(self, mode: str = "r", buffering: int | None = None, **kwargs: Any) -> Any:
        """Return a file, as socket.socket.makefile() does."""
        import io

        raw = socket.SocketIO(self, "rw" if "r" in mode and "w" in mode else mode.strip("b"))  # type: ignore[arg-type]
        self._files += 1
        if buffering == 0:
            return raw
        size = io.DEFAULT_BUFFER_SIZE if buffering in (None, -1) else buffering
        reads, writes = "r" in mode, "w" in mode
        buffered: Any = (
            io.BufferedRWPair(raw, raw, size)
            if reads and writes
            else io.BufferedReader(raw, size)
            if reads
            else io.BufferedWriter(raw, size)
        )
        return buffered if "b" in mode else io.TextIOWrapper(buffered, **kwargs)

    _files = 0

    def _decref_socketios(self) -> None:
        self._files -= 1

    # The world.

    def _begin(self, call: str) -> Description:
        """Begin a system call."""
        world = self._world
        world.calls += 1
        try:
            description: Description = self._descriptors[self._fd]
        except KeyError:
            raise system_error(errno.EBADF) from None
        if world.faults is not None:
            self._may_fail(call, f"fd {self._fd}, {description.describe()}")
            if call in ("recv", "send"):
                description.may_be_reset(call)
        return description

    def _may_fail(self, call: str, what: str) -> None:
        faults = self._world.faults
        number = faults.error(self._host.name, call, what) if faults is not None else 0
        if number:
            raise system_error(number)

    def _traced(self, call: str, description: Description, text: str, fd: int | None = None) -> None:
        what = f"fd {self._fd if fd is None else fd}, {description.describe()}"
        self._world.trace(self._world.monotonic(), "call", self._host.name, what, f"{call} {text}".strip())  # type: ignore[misc]

    def __enter__(self) -> Sock:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<simulated socket fd={self._fd}, {self._host.name}>"


def _refuse(n: int, call: str) -> NoReturn:
    if n < 0:
        raise ValueError(f"negative buffersize in {call}")
    raise MemoryError


def _known(kind: Any, number: int) -> Any:
    try:
        return kind(number)
    except ValueError:
        return number
