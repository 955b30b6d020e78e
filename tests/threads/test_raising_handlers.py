"""A signal handler raises anywhere in the code that opens, passes and closes descriptors.

No descriptor is closed twice, or after its number has a new owner. A program that closes its objects has closed all.
"""

from __future__ import annotations

import dis
import gc
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import CodeType
from typing import Any

import pytest

from socket2 import TCP, tcp
from socket2.threads import joining
from socket2.threads.lock import is_held
from socket2.threads.member import current_member
from socket2.threads.scheduler import Scheduler, current_scheduler, local

from ..contract import kinds
from ..injection import Injection, Raised
from ..interop.peers import ROOT
from ..sources import modules_in

MECHANISM = {socket.__file__, *modules_in("pollers"), *modules_in("socket2/sockets", "socket tcp endpoint")}

_STRANGERS = 6


def codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def cleans_up(handler: list[dis.Instruction]) -> bool:
    """Whether these instructions end a `with` block, or begin a `finally` or an `except BaseException`."""
    if handler[0].opname != "PUSH_EXC_INFO":
        return False
    for at, instruction in enumerate(handler):
        if instruction.opname == "CHECK_EXC_MATCH":
            return bool(handler[at - 1].argval == "BaseException")
        if not instruction.opname.startswith(("PUSH_EXC_INFO", "LOAD_", "BUILD_TUPLE", "CACHE")):
            break
    return True


def backward_jumps_out_of_a_block(code: CodeType) -> Iterator[Any]:
    """Return where a loop inside a block that cleans up continues by a jump that lies outside of it."""
    entries: Any = dis.Bytecode(code).exception_entries  # type: ignore[attr-defined]
    instructions = list(dis.get_instructions(code))
    targets = {entry.target for entry in entries}
    exits = {
        one.offset for at, one in enumerate(instructions) if one.offset in targets and cleans_up(instructions[at:])
    }

    def blocks(offset: int) -> set[int]:
        found: list[int] = []
        while True:
            target = next((entry.target for entry in entries if entry.start <= offset < entry.end), None)
            if target is None or target in found:
                return exits & {*found}
            found.append(target)
            offset = target

    for instruction in instructions:
        if instruction.opname == "JUMP_BACKWARD" and blocks(instruction.argval) - blocks(instruction.offset):
            yield instruction.positions


# What runs in OS threads that handle no signals, and an example.
NOT_INTERRUPTED = {"Answerer._work", "_Call.deliver", "echo"}


@pytest.mark.parametrize("room", ["pollers", "socket2"])
def test_no_loop_goes_on_outside_the_block_that_cleans_up(room: str) -> None:
    offenders = [
        (path, code.co_qualname, positions)
        for path in (ROOT / room).rglob("*.py")
        for code in codes(compile(path.read_bytes(), str(path), "exec"))
        for positions in backward_jumps_out_of_a_block(code)
        if code.co_qualname not in NOT_INTERRUPTED
        if positions.lineno is not None  # otherwise it belongs to a `yield from`
    ]
    assert not offenders


def open_ones() -> set[int]:
    return {int(name) for name in os.listdir("/dev/fd") if os.path.exists(f"/dev/fd/{name}")}


def inode(fd: int) -> tuple[int, int]:
    status = os.fstat(fd)
    return status.st_dev, status.st_ino


@contextmanager
def strangers() -> Iterator[list[int]]:
    """Foreign files take all free numbers, and must still have them in the end."""
    there, gone = os.pipe()
    os.close(gone)
    theirs = [there, *(os.dup(there) for _ in range(_STRANGERS))]
    known = inode(there)
    yield theirs
    for fd in theirs:
        assert inode(fd) == known
        os.close(fd)


class Scene:
    """The objects before the code runs, and what it may leave."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.client = socket.create_connection(self.listener.getsockname())
        self.mine: list[Any] = []  # to be closed

    def close(self) -> None:
        for one in self.mine:
            one.close()
        self.mine.clear()
        self.listener.close()
        self.client.close()


def connection(scene: Scene) -> TCP:
    std, _ = scene.listener.accept()
    conn = tcp(fileno=std.detach())
    scene.mine.append(conn)
    return conn


Scenario = Callable[[Scene], Callable[[], Any]]
"""Prepares the scene, and returns the function to interrupt."""


def attach(scene: Scene) -> Callable[[], Any]:
    return connection(scene)._attach


def attach_and_close(scene: Scene) -> Callable[[], Any]:
    conn = connection(scene)

    def both() -> None:
        conn._attach()
        conn.close()

    return both


def close_unattached(scene: Scene) -> Callable[[], Any]:
    return connection(scene).close


def close_attached(scene: Scene) -> Callable[[], Any]:
    conn = connection(scene)
    conn._attach()
    return conn.close


def detach_attached(scene: Scene) -> Callable[[], Any]:
    conn = connection(scene)
    conn._attach()
    return lambda: scene.mine.append(socket.socket(fileno=conn.detach()))


def detach_unattached(scene: Scene) -> Callable[[], Any]:
    conn = connection(scene)
    return lambda: scene.mine.append(socket.socket(fileno=conn.detach()))


def renew(scene: Scene) -> Callable[[], Any]:
    conn = connection(scene)
    conn._attach()
    return lambda: conn._renew(None)


def renew_unattached(scene: Scene) -> Callable[[], Any]:
    conn = connection(scene)
    return lambda: conn._renew(None)


def accept(scene: Scene) -> Callable[[], Any]:
    listener = tcp(fileno=scene.listener.detach())
    scene.mine.append(listener)
    handle = listener._attach()

    def taken() -> None:
        try:
            next(iter(handle.accept(None)))
        except StopIteration as stop:
            scene.mine.append(stop.value[0])

    return taken


def adopt_fd(scene: Scene) -> Callable[[], Any]:
    std, _ = scene.listener.accept()
    fd = std.detach()
    cookie = inode(fd)

    def adopt() -> None:
        try:
            scene.mine.append(tcp(fileno=fd))
        except Raised:  # it must still be ours, or closed
            with suppress(OSError):
                if inode(fd) == cookie:
                    os.close(fd)
            raise

    return adopt


def stale(scene: Scene) -> Callable[[], Any]:
    conn = connection(scene)
    handle = conn._attach()
    os.close(handle.fileno())
    std = socket.socket()
    scene.mine.append(std)
    assert std.fileno() == handle.fileno()
    poller = current_scheduler().poller
    return lambda: scene.mine.append(poller.attach(std))


# How many descriptors may be lost: there is Python code between the system call and the object that owns the number.
SCENARIOS: dict[Scenario, int] = {
    attach: 0,
    attach_and_close: 0,
    close_unattached: 0,
    close_attached: 0,
    detach_attached: 1,
    detach_unattached: 1,
    renew: 0,
    renew_unattached: 0,
    accept: 1,
    adopt_fd: 0,
    stale: 0,
}


def attempt(make: Callable[[], Any], shared: bool, scenario: Scenario, at: int) -> tuple[str, set[int]]:
    """Return where it raised, if it did, and what stayed open although everything was closed."""
    local.scheduler = Scheduler(make())
    if shared:
        joining.share(local.scheduler)
    before = open_ones()
    scene = Scene()
    what = scenario(scene)
    injection = Injection(at, MECHANISM)
    with suppress(Raised), injection:
        what()
    del what
    assert not is_held(), injection.where
    with strangers() as theirs:
        gc.collect(0)
        scene.close()
        left = open_ones() - before - {*theirs}
        del scene
        gc.collect(0)
        current_member().close()
        local.scheduler = local.member = None
        gc.collect(0)
    return injection.where, left


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("kind", [name for name, manner in kinds.names() if manner == "shared"])
def test_raised_at_each_point(kind: str, scenario: Scenario, shared: bool) -> None:
    at, where = 0, "somewhere"
    while where:
        at += 1
        where, left = attempt(lambda: kinds.make(kind), shared, scenario, at)
        assert len(left) <= SCENARIOS[scenario], where
        for fd in left:
            with suppress(OSError):
                os.close(fd)
    assert at > 2 or kind == "native"  # no Python code may run in between
