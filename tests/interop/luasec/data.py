"""Scenarios of receiving, sending and closing."""

from __future__ import annotations

from .parties import Ref
from .scene import Scene, Trace, alike, received


@alike
def receives_by_patterns(scene: Scene) -> Trace:
    yield from scene.established()
    yield scene.server.call("s", "send", b"one\r\ntwo\n12345rest\r without an end")
    yield received(scene.client, "c")
    yield received(scene.client, "c", "*l")
    yield scene.client.call("c", "dirty")
    yield received(scene.client, "c", 7, b"pre")
    yield scene.client.call("c", "receive", 3, b"prefix")
    yield scene.client.call("c", "receive", "*l", b"pre")
    yield scene.client.call("c", "want"), scene.client.call("c", "dirty")
    yield scene.client.call("c", "receive", 5)
    yield scene.client.call("c", "receive", "*a")
    scene.client.call("c", "settimeout", 0.01)
    yield scene.client.call("c", "receive", "*a", b"so far")
    yield scene.server.call("s", "send", b"the rest")
    scene.server.call("s", "close")
    yield received(scene.client, "c", "*a", b"so far ")
    yield received(scene.client, "c", "*a")
    yield received(scene.client, "c", 1)
    yield scene.client.call("c", "getstats")[:2]


@alike
def sends_by_positions(scene: Scene) -> Trace:
    yield from scene.established()
    for i, j in ((1, -1), (2, 4), (-3, -1), (4, 2), (0, 99), (6, 6), (-99, 0), (3, None), (None, None)):
        yield scene.client.call("c", "send", b"hello", i, j)
    yield scene.client.call("c", "send", b"")
    yield scene.client.call("c", "getstats")[1]
    yield scene.client.call("c", "setstats", 1, 2, 3)
    yield scene.client.call("c", "getstats")[:2]
    yield scene.client.call("c", "receive")  # the session tickets: LuaSec's close() would reset the connection
    scene.client.call("c", "close")
    yield received(scene.server, "s", "*a")


# After this error LuaSec loops forever in the next receive or send.


@alike
def the_client_is_cut_off(scene: Scene) -> Trace:
    yield from scene.established()
    yield scene.client.call("c", "send", b"half a line")
    scene.client.cut("c")
    yield received(scene.server, "s")


@alike
def the_server_is_cut_off(scene: Scene) -> Trace:
    yield from scene.established()
    yield scene.server.call("s", "send", b"half a line")
    scene.server.cut("s")
    yield received(scene.client, "c", "*a")


@alike
def the_end_is_cut_off_and_that_is_expected(scene: Scene) -> Trace:
    option = "ignore_unexpected_eof"
    yield from scene.established(scene.client_params(options=option), scene.server_params(options=option))
    for (party, name), (other, its) in (scene.sides, scene.sides[::-1]):
        yield party.call(name, "send", b"half a line")
        party.cut(name)
        yield received(other, its, "*a")
        yield received(other, its, "*a")


@alike
def the_peer_closes(scene: Scene) -> Trace:
    yield from scene.established()
    yield scene.client.call("c", "send", b"bye\n")
    yield scene.client.call("c", "receive")  # the session tickets, see above
    scene.client.call("c", "close")
    yield received(scene.server, "s")
    yield received(scene.server, "s")
    yield received(scene.server, "s", "*a", b"pre")


@alike
def nobody_receives(scene: Scene) -> Trace:
    """A send that would wait can be continued where it ended, and the data arrives once."""
    yield from scene.established(small=True)
    unit, times = "0123456789abcdef", 100_000
    scene.client.give("data", unit, times)
    sent, taken, errors = 0, "", set()
    while sent < len(unit) * times:
        result = scene.client.call("c", "send", Ref("data"), sent + 1)
        sent = result[-1]
        if len(result) > 1:
            assert sent < len(unit) * times
            errors.add((result[1], *scene.client.call("c", "want")))
            scene.server.ready("s")
            taken += scene.server.call("s", "receive", 10_000_000)[2]
    yield sorted(errors)
    yield scene.client.call("c", "want")
    yield scene.client.call("c", "getstats")[1]
    yield scene.client.call("c", "receive")  # the session tickets, see above
    scene.client.call("c", "close")
    taken += received(scene.server, "s", "*a")[0]
    assert taken == unit * times
