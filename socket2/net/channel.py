"""A channel to another process: messages, with sockets and servers attached, over a pair of UNIX sockets.

A message is JSON, preceded by its length. A descriptor travels with the first byte of its message (SCM_RIGHTS,
unix(7)), so it arrives with the message. Attached sockets and servers live on at the other end. Each end can ask the
other how many connections of its own servers are there.
"""

from __future__ import annotations

import itertools
import json
import os
import socket
import struct
from collections import deque
from collections.abc import Callable, Generator, Mapping
from contextlib import suppress
from typing import Any, Self

from pollers import NOSIGNAL, Closed, Handle, end_of_stream, operation, receive_descriptors, send_descriptors

from ..sockets.tcp import TCP
from ..threads.loop import newthread
from ..threads.wait import Wait
from .adoption import socket_of, taken_over
from .emitter import Emitter
from .failures import failure, told
from .server import Server
from .socket import Socket

_HEAD = struct.Struct("!IB")  # the length of the body, and whether a descriptor comes with it
_BLOCK = 65536
_DESCRIPTORS_MAX = 16

Answer = Callable[["Channel", dict[str, Any]], tuple[dict[str, Any], int | None]]


class Channel(Emitter):
    """One end of a UNIX socket pair; another process has the other end: Channel(socket) or Channel(fd).

    Events: message(message, handle), disconnect, error. Messages wait until somebody listens. An open channel keeps the
    loop running. Not available on Windows. Raises TypeError if it is not a stream socket. (Node's child_process: send()
    and 'message')
    """

    def __init__(self, handle: TCP | socket.socket | int) -> None:
        super().__init__()
        self._tcp: TCP | None = taken_over(handle) if isinstance(handle, int) else socket_of(handle)
        self._outgoing: deque[tuple[bytes, int | None]] = deque()
        self._sending = False
        self._serial = itertools.count()
        self._asked: dict[int, Wait] = {}
        self._given: dict[Server, int] = {}  # our servers that are, or have connections, at the other end, by number
        self._taken: dict[int, list[Socket | Server]] = {}  # what we have of the other end's servers
        self._answers: dict[str, Answer] = {"count": Channel._count_taken}
        self._unheard: deque[tuple[Any, Socket | Server | None]] = deque()  # messages that came while nobody listened
        self._later(self._begin, self._tcp.handle)

    @property
    def connected(self) -> bool:
        """Whether messages can be sent: disconnect() was not called, and the other end is open."""
        return self._tcp is not None

    def send(self, message: Any, handle: Socket | Server | None = None) -> Self:
        """Send a message as JSON, and optionally a connection to give away or a server to share. Does not wait.

        A connection then leaves this process: it emits 'close', and `connections` of its server is None from then on.
        Received data that nobody has read goes with it. A server listens in both processes, and both accept. If the
        other end is gone, 'error' is emitted. Raises TypeError if the message is not JSON, OSError if the connection is
        closed or still has data to send.
        """
        envelope: dict[str, Any] = {"type": "message", "message": message}
        json.dumps(envelope)  # before anything is given away
        fd = None
        if self._tcp is not None and handle is not None:
            fd = self._attach(envelope, handle)
        self._post(envelope, fd)
        return self

    def disconnect(self) -> None:
        """Close this end. Both ends emit 'disconnect'."""
        tcp, self._tcp = self._tcp, None
        if tcp is None:
            return
        tcp.close()
        while self._outgoing:
            _, fd = self._outgoing.popleft()
            if fd is not None:
                os.close(fd)
        asked, self._asked = self._asked, {}
        for wait in asked.values():
            wait.fail(Closed("the other process has gone"))
        self._later(self._fire, "disconnect")

    # Attached sockets and servers.

    def _attach(self, envelope: dict[str, Any], handle: Socket | Server) -> int:
        if isinstance(handle, Server):
            if not handle.listening:
                raise failure("ERR_SERVER_NOT_RUNNING", "Server is not running.")
            fd = os.dup(handle.fileno())
            server: Server | None = handle
            envelope["server"] = handle._socket_options
        elif isinstance(handle, Socket):
            server = handle.server if isinstance(handle.server, Server) else None
            fd, envelope["socket"] = handle._give_away()
        else:
            raise told(
                TypeError(f"handle must be a Socket or a Server, not {handle!r}"), code="ERR_INVALID_HANDLE_TYPE"
            )
        if server is not None:
            envelope["of"] = self._given.setdefault(server, len(self._given))
            server._has_some_at(self, isinstance(handle, Socket))
        return fd

    def _detach(self, envelope: Mapping[str, Any], fd: int) -> Socket | Server:
        handle: Socket | Server
        if "server" in envelope:
            handle = Server(envelope["server"])
            handle.listen({"fd": fd})
            handle._share()
        else:
            handle = Socket._taken_in(taken_over(fd), envelope["socket"])
        if "of" in envelope:
            taken = self._taken.setdefault(envelope["of"], [])
            taken.append(handle)
            handle.once("close", lambda *_: taken.remove(handle))
        return handle

    def _count_taken(self, question: dict[str, Any]) -> tuple[dict[str, Any], None]:
        taken = self._taken.get(question["of"], ())
        return {"count": sum(len(one._sockets) if isinstance(one, Server) else 1 for one in taken)}, None

    @operation
    def count(self, server: Server) -> Generator[Any, None, int]:
        """Return how many connections of `server` the other process has; 0 if that process is gone."""
        try:
            answer, _ = yield from self.ask({"type": "count", "of": self._given[server]})
        except Closed:
            return 0
        return int(answer["count"])

    # Questions and answers.

    @operation
    def ask(self, question: dict[str, Any]) -> Generator[Any, None, tuple[dict[str, Any], int | None]]:
        """Ask the other end a question; return its answer, and the descriptor that came with the answer, if any.

        Raises Closed if the other process is gone before it answers.
        """
        serial = next(self._serial)
        wait = Wait(f"answer of {self!r}")
        if self._tcp is None:
            raise Closed("the other process has gone")
        self._asked[serial] = wait
        self._post({**question, "id": serial}, None)
        try:
            answer: tuple[dict[str, Any], int | None] = yield from wait.wait()
        finally:
            self._asked.pop(serial, None)
        return answer

    def _post(self, envelope: dict[str, Any], fd: int | None) -> None:
        tcp = self._tcp
        if tcp is None:
            error = failure("ERR_IPC_CHANNEL_CLOSED", "the other process has gone")
            self._later(self._fire, "error", error)
            return
        body = json.dumps(envelope).encode()
        self._outgoing.append((_HEAD.pack(len(body), fd is not None) + body, fd))
        if not self._sending:
            self._sending = True
            newthread(self._send_all, tcp.handle, name=f"writer of {self!r}")

    def _send_all(self, handle: Handle) -> Generator[Any, None, None]:
        try:
            while True:  # see threads/lock.py
                if not self._outgoing:
                    break
                data, fd = self._outgoing[0]
                yield from self._send_one(handle, data, fd)
                self._outgoing.popleft()
                if fd is None:
                    continue
                os.close(fd)
        except Closed:
            pass
        except OSError as error:
            self._later(self._fire, "error", error)
            self.disconnect()
        finally:
            self._sending = False

    def _send_one(self, handle: Handle, data: bytes, fd: int | None) -> Generator[Any, None, None]:
        left = memoryview(data)
        with_it = [] if fd is None else [fd]
        while left:
            try:
                n = send_descriptors(handle.sock, left, with_it) if with_it else handle.sock.send(left, NOSIGNAL)
            except BlockingIOError:
                yield from handle.wait_writable(self)
                continue
            except OSError as error:
                raise handle.told(error) or error from None
            with_it = []
            left = left[n:]

    # The thread that reads.

    def _begin(self, handle: Handle) -> None:
        if self._tcp is not None:
            newthread(self._read, handle, name=f"reader of {self!r}")

    def _read(self, handle: Handle) -> Generator[Any, None, None]:
        data = bytearray()
        descriptors: deque[int] = deque()
        try:
            while True:
                yield from handle.wait_readable(self)
                try:
                    block, fds = receive_descriptors(handle.sock, _BLOCK, _DESCRIPTORS_MAX)
                except BlockingIOError:
                    continue
                except OSError as error:
                    raise handle.told(error) or error from None
                descriptors.extend(fds)
                if not block:
                    end_of_stream(handle)
                    break
                data += block
                self._take(data, descriptors)
        except Closed:
            pass
        except OSError as error:
            self._later(self._fire, "error", error)
        finally:
            for fd in descriptors:
                os.close(fd)
            self.disconnect()

    def _take(self, data: bytearray, descriptors: deque[int]) -> None:
        """Take complete messages off the front of the received data."""
        while len(data) >= _HEAD.size:
            size, has_descriptor = _HEAD.unpack_from(data)
            if len(data) < _HEAD.size + size:
                return
            envelope = json.loads(data[_HEAD.size : _HEAD.size + size])
            del data[: _HEAD.size + size]
            self._received(envelope, descriptors.popleft() if has_descriptor else None)

    def _received(self, envelope: dict[str, Any], fd: int | None) -> None:
        kind = envelope["type"]
        if kind == "message":
            handle = self._detach(envelope, fd) if fd is not None else None
            self._unheard.append((envelope["message"], handle))
            self._later(self._tell)
        elif kind == "answer":
            wait = self._asked.get(envelope["id"])
            if (wait is None or not wait.finish((envelope, fd))) and fd is not None:
                os.close(fd)
        elif kind in self._answers:
            answer, attached = self._answers[kind](self, envelope)
            self._post({**answer, "type": "answer", "id": envelope["id"]}, attached)

    def _tell(self) -> None:
        """Emit the messages that have come, as long as somebody listens."""
        while self._unheard and self.listenerCount("message"):
            self._fire("message", *self._unheard.popleft())

    def _listeners_changed(self, event: str) -> None:
        if event == "message" and self._unheard:
            self._later(self._tell)

    def _listener_failed(self, event: str, args: tuple[Any, ...], error: Exception) -> None:
        """Report the error, and close what came with the message: nobody owns it now."""
        super()._listener_failed(event, args, error)
        for handle in args:
            if isinstance(handle, Socket):
                handle.destroy()
            elif isinstance(handle, Server):
                handle.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.disconnect()

    def __repr__(self) -> str:
        with suppress(OSError):
            if (tcp := self._tcp) is not None:
                return f"<net.Channel fd {tcp.fileno()}>"
        return "<net.Channel disconnected>"
