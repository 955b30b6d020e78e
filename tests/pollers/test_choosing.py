"""Choosing a poller: by argument, by the environment, or the first that works."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Collection

import pytest

import pollers
from pollers.readiness.select import Select

# Users see no difference in the native poller, and it has the same name.
NAMES = {"native": "epoll"}


def test_the_first_that_works_is_taken() -> None:
    poller = pollers.choose(pollers.available()[0], checked=False)
    name = pollers.available()[0]
    assert poller.name == NAMES.get(name, name)
    poller.shutdown()


def test_by_argument() -> None:
    for name in pollers.available():
        poller = pollers.choose(name, checked=False)
        assert poller.name == NAMES.get(name, name)
        assert poller.shutdown() == []
        assert poller.shutdown() == []


def test_by_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOCKET2_POLLER", "select")
    poller = pollers.choose(checked=False)
    assert poller.name == "select"
    poller.shutdown()


def test_unknown_names_are_told_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="this system has no poller 'kpoll': it has .*select"):
        pollers.choose("kpoll")
    monkeypatch.setenv("SOCKET2_POLLER", "kpoll")
    with pytest.raises(ValueError, match="kpoll"):
        pollers.choose()


def test_a_poller_that_the_kernel_refuses_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused() -> pollers.Poller:
        raise OSError(24, "Too many open files")

    monkeypatch.delenv("SOCKET2_POLLER", raising=False)
    monkeypatch.setattr(pollers, "_factories", {"broken": refused, **pollers._factories})
    poller = pollers.choose(checked=False)
    name = pollers.available()[1]
    assert poller.name == NAMES.get(name, name)
    poller.shutdown()
    monkeypatch.setattr(pollers, "_factories", {"broken": refused})
    with pytest.raises(OSError, match="Too many open files"):
        pollers.choose()


def test_register(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pollers, "_factories", dict(pollers._factories))
    pollers.register("mine", pollers._factories["select"])
    poller = pollers.choose("mine", checked=False)
    poller.shutdown()
    with pytest.raises(ValueError, match="already"):
        pollers.register("mine", pollers._factories["select"])


def test_checked_by_environment() -> None:
    program = "import pollers; print(type(pollers.choose()).__name__)"
    for value, expected in (("1", "Checked"), ("0", "Select"), ("", "Select")):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"SOCKET2_CHECK": value, "SOCKET2_POLLER": "select"},
            capture_output=True,
            text=True,
            timeout=20,
        )
        assert done.stdout.strip() == expected, done.stderr


def test_the_native_poller_can_be_switched_off() -> None:
    program = "import pollers; print(*pollers.available(), '|', pollers.native_status())"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"SOCKET2_NATIVE": "0"},
        capture_output=True,
        text=True,
        timeout=20,
    )
    names, status = done.stdout.split(" | ")
    assert "native" not in names.split()
    assert status.strip() == "no (switched off by SOCKET2_NATIVE=0)"


def test_the_native_poller_says_why_it_is_not_there() -> None:
    assert (pollers.native_status() == "yes") == ("native" in pollers.available())
    assert pollers.native_status() == "yes" or pollers.native_status().startswith("no (")


def test_a_listener_may_take_an_address_that_lingers() -> None:
    with socket.socket() as sock:
        pollers.prepare_listener(sock)
        # On Windows the option of this name would let a program take an address in use.
        assert bool(sock.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR)) == (os.name == "posix")
    if hasattr(socket, "AF_UNIX"):
        with socket.socket(socket.AF_UNIX) as sock:
            pollers.prepare_listener(sock)


def test_a_socket_that_is_not_bound_has_the_address_of_any() -> None:
    with socket.socket() as sock:
        assert pollers.local_address(sock) == ("0.0.0.0", 0)
        sock.bind(("127.0.0.1", 0))
        assert pollers.local_address(sock) == sock.getsockname()


@pytest.mark.parametrize("name", pollers.available())
def test_a_new_poller_begins_without_a_streak(name: str) -> None:
    """This holds also if each OS thread has a streak of its own."""
    before = pollers.choose(name, checked=False)
    before.streak = pollers.STREAK_MAX
    poller = pollers.choose(name, checked=False)
    assert poller.streak == 0
    before.shutdown()
    poller.shutdown()


def test_a_wait_for_readiness_asks_the_poller_which_descriptors_are_ready() -> None:
    class Asked(Select):
        @staticmethod
        def ready(reading: Collection[int], writing: Collection[int]) -> tuple[set[int], set[int]]:
            return {fd for fd in reading if fd in known}, {fd for fd in writing if fd in known}

    known: set[int] = set()
    poller = Asked()
    one, other = socket.socketpair()
    with other:
        handle = poller.attach(one)
        for wait in (handle.wait_writable, handle.wait_readable):
            with contextlib.closing(iter(wait())) as steps:
                assert next(steps) in (handle.reading, handle.writing)
            known.add(handle.fileno())
            handle.reading.ready = handle.writing.ready = True  # as after an event
            with pytest.raises(StopIteration):
                next(iter(wait()))
            known.clear()
        poller.shutdown()
