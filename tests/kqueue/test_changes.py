"""Changes that fail, receipts and room for them, and timeouts."""

from __future__ import annotations

import signal
from time import monotonic

from .asked import Kernel, answered


@answered("R!ENOENT; raised ENOENT")
def test_delete_of_what_is_not_there(k: Kernel) -> str:
    one, _ = k.pair()
    kq = k.kqueue()
    delete = k.change(one, "READ", "DELETE")
    return f"{k.ask(kq, delete, room=1)}; {k.ask(kq, delete, room=0)}"


@answered("R!ENOENT then R1")
def test_an_error_entry_does_not_stop_later_changes_and_hides_events(k: Kernel) -> str:
    one, other = k.pair()
    other.send(b"x")
    kq = k.kqueue()
    return f"{k.ask(kq, k.change(one, 'READ', 'DELETE'), k.change(one, 'READ', 'ADD'), room=4)} then {k.ask(kq)}"


@answered("raised ENOENT then -")
def test_without_room_the_first_error_stops_later_changes(k: Kernel) -> str:
    one, other = k.pair()
    other.send(b"x")
    kq = k.kqueue()
    return f"{k.ask(kq, k.change(one, 'READ', 'DELETE'), k.change(one, 'READ', 'ADD'), room=0)} then {k.look(kq)}"


@answered("flags 0x4000 udata 5", macos="flags 0x4002 udata 5")
def test_flags_of_an_error_entry(k: Kernel) -> str:
    one, _ = k.pair()
    (entry,) = k.kqueue().control([k.change(one, "READ", "DELETE", udata=5)], 1, 0)
    return f"flags {entry.flags:#x} udata {entry.udata}"


@answered("R!EBADF; raised EBADF")
def test_add_of_a_closed_descriptor(k: Kernel) -> str:
    one, _ = k.pair()
    kq = k.kqueue()
    add = k.change(one, "READ", "ADD")
    one.close()
    return f"{k.ask(kq, add, room=1)}; {k.ask(kq, add, room=0)}"


@answered("raised EINVAL")
def test_bad_filter(k: Kernel) -> str:
    return k.ask(k.kqueue(), k.impl.kevent(0, -77, k.number("EV_ADD")), room=0)


@answered("-")
def test_delete_takes_an_event_back_that_was_not_fetched(k: Kernel) -> str:
    one, other = k.pair()
    kq = k.kqueue(k.change(one, "READ", "ADD"))
    other.send(b"x")
    kq.control([k.change(one, "READ", "DELETE")], 0)
    return k.look(kq)


# Receipts.


@answered("U!0 then U")
def test_a_receipt_leaves_events_alone(k: Kernel) -> str:
    kq = k.kqueue(k.change(1, "USER", "ADD"), k.trigger(1))
    return f"{k.ask(kq, k.change(2, 'USER', 'ADD RECEIPT'), room=1)} then {k.ask(kq)}"


@answered("U!0")
def test_a_receipt_with_room_to_spare_is_all_there_is(k: Kernel) -> str:
    kq = k.kqueue(k.change(1, "USER", "ADD"), k.trigger(1))
    return k.ask(kq, k.change(2, "USER", "ADD RECEIPT"), room=9)


@answered("R!0 then R1")
def test_a_receipt_about_a_socket(k: Kernel) -> str:
    one, other = k.pair()
    other.send(b"x")
    kq = k.kqueue()
    return f"{k.ask(kq, k.change(one, 'READ', 'ADD RECEIPT'), room=9)} then {k.ask(kq)}"


@answered("- then 2 ready", macos="R!0 then 2 ready")
def test_two_receipts_and_room_for_one(k: Kernel) -> str:
    """FreeBSD fills the room and returns 0, so Python sees no event."""
    return _receipts(k, "ADD RECEIPT", room=1)


@answered("- then 1 ready", macos="- then 2 ready")
def test_a_receipt_and_no_room_at_all(k: Kernel) -> str:
    return _receipts(k, "ADD", room=0)


def _receipts(k: Kernel, second: str, *, room: int) -> str:
    (one, one_peer), (two, two_peer) = k.pair(), k.pair()
    one_peer.send(b"x")
    two_peer.send(b"y")
    kq = k.kqueue()
    seen = k.ask(kq, k.change(one, "READ", "ADD RECEIPT"), k.change(two, "READ", second), room=room)
    return f"{seen} then {len(kq.control(None, 9, 5))} ready"


# Timeouts.


@answered("at once")
def test_no_room_for_events_is_no_wait(k: Kernel) -> str:
    kq = k.kqueue()
    begun = monotonic()
    kq.control(None, 0, 20)
    return "at once" if monotonic() - begun < 10 else "waited"


@answered("in time")
def test_a_wait_is_as_long_as_asked_for(k: Kernel) -> str:
    kq = k.kqueue()
    begun = monotonic()
    kq.control(None, 4, 0.05)
    return "in time" if 0.05 <= monotonic() - begun < 10 else "too soon, or too late"


@answered(documented="-, handler ran once")
def test_a_signal_ends_a_wait_and_python_goes_on_with_the_rest(k: Kernel) -> str:
    kq = k.kqueue()
    seen: list[int] = []
    previous = signal.signal(signal.SIGALRM, lambda number, _: seen.append(number))
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        answer = k.ask(kq, wait_s=0.1)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    return f"{answer}, handler ran {'once' if len(seen) == 1 else len(seen)}"


@answered("300 of 300")
def test_a_thousand_changes_at_once_and_events_in_portions(k: Kernel) -> str:
    kq = k.kqueue(*(k.change(ident, "USER", "ADD CLEAR") for ident in range(1, 1001)))
    kq.control([k.trigger(ident) for ident in range(1, 301)], 0)
    seen = {event.ident for _ in range(5) for event in kq.control(None, 64, 5)}
    return f"{len(seen)} of 300"
