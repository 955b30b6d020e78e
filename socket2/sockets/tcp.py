"""Stream sockets: TCP, and UNIX stream sockets in the same class."""

from __future__ import annotations

import functools
import io
import operator
import socket
import sys
from collections.abc import Generator, Iterable
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

import pollers
from pollers import Busy, Closed, Control, Exhausted, Handle, Operation, control_of, operation

from ..threads.journal import Journal
from ..threads.lock import lock
from ..threads.native import shortcut
from ..threads.scheduler import current_scheduler
from ..threads.sleeping import persist
from ..threads.thread import over_at_once
from .address import Address, Host, Port, Query, SocketAddress, format_address, resolve
from .ancillary import ROOM, Message, check_limits, pieces_of, receive_message, send_message
from .binary import Wrapping, binary_source, can_seek
from .socket import AGAIN_MAX_S, AGAIN_S, NODELAY, Socket, check_octets, make, place_of, sockaddr_of

if TYPE_CHECKING:
    from typing import Self

    from _typeshed import ReadableBuffer, WriteableBuffer

log = Journal("socket2")

# The system may have no descriptor left for a connection. It does not report when one is free again.
_ACCEPT_AGAIN_S = 0.1

_SENDFILE_MAX = 1 << 30
_READ_BLOCK = 1 << 16


def check_backlog(backlog: Any) -> None:
    if backlog is not None and not isinstance(backlog, int):
        raise TypeError(f"a backlog must be a number, not {backlog!r}")


class TCP(Socket):
    """A stream socket. Made by tcp(), unix() and accept().

    One thread may receive while another sends. A second thread in the same direction gets Busy. accept() is an
    exception: several threads may call it and take turns.
    """

    __slots__ = ("_remote",)

    def __init__(
        self, sock: socket.socket | None, handle: Handle | None = None, made_at: str = "", remote: Any = None
    ) -> None:
        super().__init__(sock, handle, made_at)
        self._remote = remote

    def _like(self, sock: socket.socket, made_at: str) -> Self:
        return type(self)(sock, None, made_at, self._remote)

    @property
    def remote_address(self) -> SocketAddress:
        """The peer's address in the form of the standard library, known even after the peer has gone.

        Raises OSError (ENOTCONN) if the socket was never connected.
        """
        if self._remote is None:
            self._remote = self.std.getpeername()
        address: SocketAddress = self._remote
        return address

    # Listening.

    def listen(self, host: Host | int = None, port: Port | Host = 0, backlog: Any = None) -> None:
        """Bind the socket, unless it is bound already, and listen. listen(2).

        `host` and `port`: as in addr(). `backlog`: how many connections may wait to be accepted; by default the
        system's maximum. luapower's order, listen(backlog, host, port), works as well. An address is free even if old
        connections still linger on it, but not while another socket uses it. Raises as bind() does.
        """
        if isinstance(host, int) and not isinstance(host, bool):
            if port == 0 and backlog is None:
                raise TypeError("listen(backlog) needs a host: use listen(None, 0, backlog) for any interface")
            host, port, backlog = port, backlog or 0, host
        check_backlog(backlog)
        if not self._is_bound():
            query = self._query(host, port)  # type: ignore[arg-type]
            pollers.prepare_listener(self.std)
            self._bind(query)
        self._send_at_once()
        self.std.listen(socket.SOMAXCONN if backlog is None else backlog)

    def accept(self) -> Operation[TCP]:
        """Wait for the next connection and return it. accept(2).

        A client that leaves before it is accepted is skipped. If descriptors or memory run out, accept() logs that once
        and tries again every 0.1 s; the connections wait meanwhile. Several threads may accept: they get connections in
        the order in which they asked. A cancellation or timeout loses no connection. Raises Closed, TimeoutError.
        """
        return self.limit_read(self.accept_untimed(place_of(sys._getframe(1))))

    @operation
    def accept_untimed(self, made_at: str) -> Generator[Any, None, TCP]:
        """Accept without the socket's timeout. For the other rooms of socket2.

        `made_at`: the place that a ResourceWarning names for the connection.
        """
        handle = self._handle or self._attach()
        turns = self._set_up().receivers
        attempt = functools.partial(handle.accept, self)
        accepting = persist(attempt, _ACCEPT_AGAIN_S, _ACCEPT_AGAIN_S, self.tell_exhausted)
        connection, address = yield from turns.through("turn to accept", accepting)
        return TCP(None, connection, made_at, address)

    def tell_exhausted(self, error: Exhausted) -> None:
        """Log that accepting fails for lack of resources. For the other rooms of socket2."""
        local = None
        with suppress(OSError):  # it may have been closed meanwhile
            local = format_address(self.getsockname())
        log.warning("accept on %r: %s; retrying every %g s", self, error, _ACCEPT_AGAIN_S, about={"local": local})

    # Connecting.

    def connect(self, host: Host, port: Port = 0) -> Operation[None]:
        """Connect to `host` and `port` (see addr()), or to an AddressList: to each address in turn until one connects.

        connect() waits for an address that does not answer; with several addresses, socket2.connect() is faster. If all
        fail, the last error is raised, with a note for each address. After an attempt that fails, is cancelled or times
        out, the socket is replaced by a new one with the same options and binding, and another descriptor. So it is
        still usable. A UNIX socket stays as it was. Raises OSError, socket.gaierror, TimeoutError, Closed.
        """
        return self.limit_write(self._connect(self._query(host, port)))

    @operation
    def _connect(self, query: Query) -> Generator[Any, None, None]:
        addresses = yield from resolve(query)
        if self._is_connected():
            return (yield from self.connect_to(addresses[0]))  # raises EISCONN, and the connection stays
        self._send_at_once()
        bound = self.std.getsockname() if self._is_bound() else None
        failures: list[tuple[Address, OSError]] = []
        for address in addresses:
            try:
                yield from self.connect_to(address)
            except (Busy, Closed):
                raise
            except OSError as error:
                failures.append((address, error))
            except BaseException:
                with suppress(OSError):  # the reason why the wait ended is more important
                    self._renew(bound)
                raise
            else:
                return
            try:
                self._renew(bound)
            except OSError as error:
                failures[-1][1].add_note(f"and no new socket could be made for another attempt: {error}")
                break
        _raise_last(failures)

    def _send_at_once(self) -> None:
        """Set TCP_NODELAY, which accepted connections inherit, unless the program has set it to some value."""
        chosen = self._setup is not None and any(option[:2] == NODELAY for option in self._setup.options)
        if not chosen and self.family != "unix":
            with suppress(OSError):  # not every protocol has this option
                self.std.setsockopt(*NODELAY, 1)

    def _is_connected(self) -> bool:
        """Whether the socket is connected or listens."""
        try:
            self.std.getpeername()
        except OSError:
            return bool(self.std.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))
        return True

    def connect_to(self, address: Address) -> Operation[None]:
        """Make one attempt to connect to one address, without replacing the socket. For the other rooms of socket2.

        Raises as connect() does.
        """
        handle = self._handle or self._attach()
        return persist(functools.partial(handle.connect, sockaddr_of(self, address), self), AGAIN_S, AGAIN_MAX_S)

    def _renew(self, bound: Any) -> None:
        """Replace the kernel's socket: POSIX leaves its state after a failed connect unspecified.

        A UNIX socket keeps its state, and could not be bound to its path again.
        """
        if self.family == "unix":
            return
        old, handle = self.std, self._handle
        sock = current_scheduler().poller.socket(old.family, old.type, old.proto)
        try:
            with suppress(OSError):
                sock.setsockopt(*NODELAY, old.getsockopt(*NODELAY))
            for option in self._set_up().options:
                sock.setsockopt(*option)
            with lock:
                if self.std is not old:
                    raise Closed()  # by another OS thread
                self._sock, self._handle = sock, None
        finally:  # even if a signal handler raised: one of the two has no owner from now on
            if self._sock is not sock:
                sock.close()
            elif handle is not None:
                handle.close()  # the new socket exists, but has not taken the address yet
            else:
                pollers.close(old)
        if bound is not None:
            sock.bind(bound)

    # Receiving.

    @shortcut
    def recv(self, n: int = _READ_BLOCK) -> Operation[bytes]:
        """Receive 1 to `n` bytes; b'' at the end of the stream. recv(2).

        A cancellation or timeout takes nothing. Raises Busy if another thread is receiving, Closed,
        ConnectionResetError, TimeoutError, OSError (ENOTCONN).
        """
        if self._setup is None:
            return (self._handle or self._attach()).recv(n, self)
        return self.limit_read(self.handle.recv(n, self))

    def recv_into(self, buffer: WriteableBuffer, n: int | None = None) -> Operation[int]:
        """Receive into `buffer`, up to `n` bytes or its length. Return the number of bytes, 0 at the end of the stream.

        A cancellation or timeout takes nothing and leaves the buffer unchanged. Raises as recv() does.
        """
        return self.limit_read((self._handle or self._attach()).recv_into(buffer, n or 0, self))

    def recvmsg(self, n: int, *, max_fds: int = 0, control_size: int = ROOM) -> Operation[Message]:
        """Receive up to `n` bytes with control data, and with up to `max_fds` descriptors. recvmsg(2), unix(7).

        `control_size`: the room for other control data in bytes. The message has no data at the end of the stream. It
        ends where descriptors begin. More descriptors than `max_fds` are closed, and `control_truncated` is true then.
        A cancellation or timeout takes nothing. Raises as recv() does; ValueError if a limit is too low;
        io.UnsupportedOperation on Windows.
        """
        check_limits(n, max_fds, control_size)
        return self.limit_read(receive_message(self._handle or self._attach(), n, control_size, max_fds, self))

    # Sending.

    def sendmsg(
        self,
        data: ReadableBuffer | Iterable[ReadableBuffer],
        *,
        fds: Iterable[int] = (),
        ancillary: Iterable[Control] = (),
    ) -> Operation[int]:
        """Send as much of `data`, one buffer or several, as the kernel accepts; return the number of bytes. sendmsg(2).

        Duplicates of the descriptors `fds` and the control data `ancillary`, (level, type, data), travel with the first
        byte. A cancellation or timeout sends nothing. Raises as send() does; ValueError if there is no data, or for
        descriptors if this is not a UNIX socket; OSError (EBADF, EINVAL, ETOOMANYREFS), io.UnsupportedOperation on
        Windows.
        """
        pieces = [piece for piece in pieces_of(data) if memoryview(piece).nbytes]
        if not pieces:
            raise ValueError("control data travels with data: send at least one byte")
        control = [*control_of(self.std.family, fds=[*map(operator.index, fds)]), *ancillary]
        return self.limit_write(send_message(self._handle or self._attach(), pieces, control, None, self))

    @shortcut
    def send(self, data: ReadableBuffer) -> Operation[int]:
        """Send as much of `data` as the kernel accepts at once; return the number of bytes. send(2).

        A cancellation or timeout sends nothing. Raises Busy if another thread is sending, Closed, BrokenPipeError,
        ConnectionResetError, TimeoutError. Never raises SIGPIPE.
        """
        if type(data) is not bytes:
            check_octets(data)
        if self._setup is None:
            return (self._handle or self._attach()).send(data, self)
        return self.limit_write(self.handle.send(data, self))

    @shortcut
    def sendall(self, data: ReadableBuffer) -> Operation[None]:
        """Send all of `data`. The timeout covers the whole call.

        After an error, cancellation or timeout, `bytes_sent` on the exception is the number of bytes that the kernel
        has accepted. Raises as send() does.
        """
        if type(data) is not bytes:
            check_octets(data)
        if self._setup is None:
            return (self._handle or self._attach()).sendall(data, self)
        return self.limit_write(self.handle.sendall(data, self))

    def sendfile(self, file: IO[bytes] | Wrapping, offset: int = 0, count: int | None = None) -> Operation[int]:
        """Send `count` bytes of a binary file, or the rest of it, from `offset` on; return the number of bytes sent.

        `file` comes from open() or open_file(). The kernel copies the data if it can (sendfile(2)). Reading the file
        may block. In every case the file's position is then after the last byte sent, and an error, cancellation or
        timeout carries `bytes_sent`. Raises as send() does; OSError if reading the file fails; TypeError and ValueError
        as socket.sendfile() does.
        """
        source = binary_source(file)
        if count is not None and not isinstance(count, int):
            raise TypeError(f"count must be a positive number, not {count!r}")
        if count is not None and count <= 0:
            raise ValueError(f"count must be a positive number, not {count!r}")
        if offset < 0:
            raise ValueError(f"offset must not be negative: {offset!r}")
        return self.limit_write(self._sendfile(source, offset, count))

    @operation
    def _sendfile(self, file: IO[bytes], offset: int, count: int | None) -> Generator[Any, None, int]:
        handle = self._handle or self._attach()
        sent = 0
        try:
            fd = file.fileno()
            while True:  # see threads/lock.py
                most = _SENDFILE_MAX if count is None else min(count - sent, _SENDFILE_MAX)
                n = (yield from handle.sendfile(fd, offset + sent, most, self)) if most else 0
                if n == 0:
                    break
                sent += n
        except (AttributeError, io.UnsupportedOperation):
            rest = None if count is None else count - sent
            return sent + (yield from self._send_blocks(file, offset + sent, rest))
        except BaseException as error:
            error.bytes_sent = sent  # type: ignore[attr-defined]
            raise
        finally:
            if sent:
                file.seek(offset + sent)
        return sent

    @operation
    def _send_blocks(self, file: IO[bytes], offset: int, count: int | None) -> Generator[Any, None, int]:
        if offset or can_seek(file):
            file.seek(offset)
        sent = 0
        try:
            while True:  # see threads/lock.py
                block = file.read(_READ_BLOCK if count is None else min(count - sent, _READ_BLOCK))
                if not block:
                    break
                yield from (self._handle or self._attach()).sendall(block, self)
                sent += len(block)
            if not sent and (turn := over_at_once()) is not None:
                yield from turn.wait()
        except BaseException as error:
            sent += getattr(error, "bytes_sent", 0)
            error.bytes_sent = sent  # type: ignore[attr-defined]
            raise
        finally:
            if can_seek(file):
                file.seek(offset + sent)
        return sent


def _raise_last(failures: list[tuple[Address, OSError]]) -> None:
    """Raise the last failure, with a note for each of them."""
    last = failures[-1][1]
    for address, failure in failures:
        last.add_note(f"connecting to {address}: {failure}")
    try:
        raise last
    finally:
        failures.clear()
        del last, failure


def tcp(
    family: str = "inet", protocol: str | int | None = None, *, fileno: int | None = None, nodelay: bool = True
) -> TCP:
    """Make a TCP socket of family "inet" or "inet6", or take over the open descriptor `fileno` as it is.

    A socket that connects or listens sends small pieces at once (TCP_NODELAY), and so do the connections that it
    accepts. With `nodelay=False` the kernel may delay them by up to 40 ms, until the peer has acknowledged earlier
    data.

    Raises ValueError if the family or protocol is unknown or the descriptor has another type; OSError from socket(2).
    """
    sock = TCP(make(family, "tcp", protocol, fileno), None, place_of(sys._getframe(1)))
    if not nodelay:
        sock.setopt("nodelay", False)
    return sock
