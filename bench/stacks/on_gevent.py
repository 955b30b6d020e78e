"""gevent: greenlets, gevent.event.Event, gevent.Timeout and the timers of its loop, gevent.socket."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import gevent
import gevent.socket
from gevent.event import Event

from bench.stacks import BATCH, LOOKUP_PORT, LOOKUP_TASKS, TIMEOUT_S
from bench.stacks.meter import Meter


def run(task: Callable[..., None], *args: Any) -> None:
    gevent.spawn(task, *args).get()


def _return() -> None:
    pass


def _wait_once() -> None:
    gevent.sleep(0)


def spawn(meter: Meter, count: int) -> None:
    for name, body in (("return", _return), ("wait", _wait_once)):
        with meter.measuring(name, count):
            for _ in range(count // BATCH):
                for greenlet in [gevent.spawn(body) for _ in range(BATCH)]:
                    greenlet.join()


def _answer(ping: Event, pong: Event) -> None:
    while True:
        ping.wait()
        ping.clear()
        pong.set()


def switch(meter: Meter, count: int) -> None:
    ping, pong = Event(), Event()
    partner = gevent.spawn(_answer, ping, pong)
    gevent.sleep(0)
    with meter.measuring("switch", count):
        for _ in range(count // 2):
            ping.set()
            pong.wait()
            pong.clear()
    partner.kill()


def timers(meter: Meter, count: int) -> None:
    loop = gevent.get_hub().loop
    with meter.measuring("block", count):
        for _ in range(count // BATCH):
            for _ in range(BATCH):
                with gevent.Timeout(TIMEOUT_S):
                    pass
            gevent.sleep(0)
    with meter.measuring("raw", count):
        for _ in range(count // BATCH):
            for _ in range(BATCH):
                timer = loop.timer(TIMEOUT_S)
                timer.start(_return)
                timer.close()
            gevent.sleep(0)
    with meter.measuring("crowd", count):
        crowd = [loop.timer(TIMEOUT_S + number % BATCH) for number in range(count)]
        for timer in crowd:
            timer.start(_return)
        for timer in crowd:
            timer.close()
        gevent.sleep(0)


def _look_up(name: str, times: int) -> None:
    for _ in range(times):
        gevent.socket.getaddrinfo(name, LOOKUP_PORT, type=socket.SOCK_STREAM)


def lookup(meter: Meter, count: int, name: str) -> None:
    _look_up(name, 1)
    with meter.measuring("lookup", count):
        gevent.joinall([gevent.spawn(_look_up, name, count // LOOKUP_TASKS) for _ in range(LOOKUP_TASKS)])
