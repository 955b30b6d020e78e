"""A signal handler raises anywhere in an operation of a stream: afterwards nobody has a claim on it."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Generator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from socket2 import TLS, Closed, fd_stream, run, stream, unix

from ..injection import BOTH, PlacedInjection, at_each_place
from ..sources import modules_in
from .certificates import Authority
from .ends import ends, over, shaken

Steps = Generator[Any, Any, Any]


def streams(authority: Authority) -> tuple[Any, Any]:
    one, other = socket.socketpair()
    return stream(unix(fileno=one.detach())), stream(unix(fileno=other.detach()))


def pipes(authority: Authority) -> tuple[Any, Any]:
    reader, writer = os.pipe()
    return fd_stream(writer), fd_stream(reader)


def layers(authority: Authority) -> tuple[Any, Any]:
    return over(authority, *ends(authority, "unix"))


FILES: dict[Callable[[Authority], tuple[Any, Any]], set[str]] = {
    streams: modules_in("socket2/streams", "claim stream"),
    pipes: modules_in("socket2/streams", "claim") | modules_in("socket2/files", "fdstream"),
    layers: modules_in("socket2/streams", "claim") | modules_in("socket2/tls", "layer lane carrier"),
}


def use(one: Any, other: Any) -> Steps:
    for text in (b"a line\n", b"another\n"):
        yield from one.sendall(text)
        assert (yield from other.recv(100)) == text
    if not isinstance(one, TLS):  # which has another thread say goodbye
        one.shutdown()
        assert (yield from other.recv(100)) == b""
    for end in (one, other):
        if hasattr(end, "finish"):
            yield from end.finish(0)
        end.close()


def claims(end: Any) -> list[Any]:
    names = ("_reading", "_writing", "_receiving", "_sending", "_shaking")
    return [claim for name in names if (claim := getattr(end, name, None)) is not None]


def attempt(make: Callable[[], tuple[Any, Any]], injection: PlacedInjection) -> None:
    def main() -> Steps:
        one, other = make()
        with one, other:
            if isinstance(one, TLS):
                yield from shaken(one, other)
            with suppress(injection.error), injection:
                yield from use(one, other)
            for end in (one, other):
                assert all(hasattr(claim, "free") for claim in claims(end)), injection.where
                with suppress(Closed, OSError):
                    yield from end.recv(0)

    run(main)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("make", FILES, ids=lambda make: make.__name__)
def test_no_claim_is_left(make: Callable[[Authority], tuple[Any, Any]], authority: Authority) -> None:
    assert at_each_place(partial(attempt, partial(make, authority)), FILES[make], *BOTH, begins=True) > 20
