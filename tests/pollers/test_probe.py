"""Which peers have ended their half, without taking what they have sent before."""

from __future__ import annotations

import select
import socket

import pytest

import pollers


@pytest.mark.skipif(not hasattr(select, "POLLRDHUP"), reason="this system does not tell it: no POLLRDHUP")
@pytest.mark.parametrize("data", [b"", b"unread"])
def test_which_peers_have_hung_up(data: bytes) -> None:
    one, other = socket.socketpair()
    with one, other:
        other.sendall(data)
        assert pollers.hung_up([one.fileno()]) == set()
        other.shutdown(socket.SHUT_WR)
        assert pollers.hung_up([one.fileno(), other.fileno()]) == {one.fileno()}
        assert one.recv(10) == data
        other.close()
        assert pollers.hung_up([one.fileno()]) == {one.fileno()}
        closed = one.fileno()
    assert pollers.hung_up([closed]) == set()
    assert pollers.hung_up([]) == set()
