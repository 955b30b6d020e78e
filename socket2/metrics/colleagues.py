"""How the workers of one server ask each other for their figures: whichever is asked answers for all.

A worker is asked over a pair of datagram sockets that all have from their supervisor. So nothing has a name that others
could find, and a worker's successor is asked in the same way. The question brings a descriptor, where the answer goes.
"""

from __future__ import annotations

import errno
import json
import os
import socket
from collections.abc import Generator
from contextlib import suppress
from typing import Any

from ..servers import staff
from ..sockets.descriptors import recv_fds
from ..sockets.udp import unix
from ..streams.stream import stream
from ..threads.group import threadset
from ..threads.scope import timeout
from .exposition import Exposition
from .figures import figures

ANSWER_S = 1.0
"""How long a worker has to answer. One that is blocked for longer is reported as down."""


class Colleagues:
    """The workers of one server. Make it before they are forked."""

    def __init__(self, count: int) -> None:
        self._questions: list[tuple[socket.socket, socket.socket]] = []
        try:
            for _ in range(count):
                self._questions.append(pair := socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM))
                for end in pair:
                    end.setblocking(False)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        for asking, asked in self._questions:
            asking.close()
            asked.close()

    def answer(self) -> Generator[Any, None, None]:
        """Answer the others until this worker stops: be a thread. Its successor answers from then on."""
        me = staff.own_number
        if me is None or me >= len(self._questions):
            return
        asking, asked = self._questions[me]
        with unix("dgram", fileno=os.dup(asked.fileno())) as questions:
            while True:
                try:
                    question, fds = yield from recv_fds(questions, 16, 1)
                except OSError as error:
                    if error.errno != errno.EMSGSIZE:
                        raise
                    continue  # there was no room for the descriptor: this question stays without an answer
                with suppress(OSError):
                    with socket.socket(fileno=fds[0]) as conn:
                        if staff.is_leaving:
                            socket.send_fds(asking, [question], [conn.fileno()])
                            return
                        answering = stream(unix(fileno=conn.detach()))
                    with answering, timeout(ANSWER_S):
                        yield from answering.sendall(json.dumps(figures().as_data()).encode())

    def figures(self) -> Generator[Any, None, Exposition]:
        """Return the figures of all workers, with the label `worker`, its number."""
        answers: dict[int, list[Any] | None] = {}
        with threadset() as ts:
            for number in range(len(self._questions)):
                if number != staff.own_number:
                    ts.newthread(self._ask, number, answers)
            yield from ts.join()
        found = Exposition()
        for number in range(len(self._questions)):
            data = figures().as_data() if number == staff.own_number else answers.get(number)
            worker = str(number)
            found.add("socket2_worker_up", "gauge", "1 if a worker has answered", int(data is not None), worker=worker)
            if data is not None:
                found.merge(data, worker=worker)
        return found

    def _ask(self, number: int, answers: dict[int, list[Any] | None]) -> Generator[Any, None, None]:
        """Note what a worker answers, if it does in time."""
        ours, its = socket.socketpair(socket.AF_UNIX)
        with stream(unix(fileno=ours.detach())) as answer, suppress(OSError, ValueError):
            with its:
                socket.send_fds(self._questions[number][0], [b"?"], [its.fileno()])
            with timeout(ANSWER_S):
                answers[number] = json.loads((yield from answer.recvall()))
