"""EVFILT_USER and EVFILT_TIMER."""

from __future__ import annotations

from .asked import Kernel, answered


@answered("1 event, udata 0xabc, fflags 0x15; -")
def test_triggered_twice_is_one_event(k: Kernel) -> str:
    kq = k.kqueue(k.change(1, "USER", "ADD CLEAR", udata=0xABC))
    for _ in range(2):
        kq.control([k.trigger(1, k.number("NOTE_FFCOPY") | 0x15, udata=0xABC)], 0)
    events = kq.control(None, 9, 5)
    return f"{len(events)} event, udata {events[0].udata:#x}, fflags {events[0].fflags:#x}; {k.look(kq)}"


@answered("udata 0x0")
def test_a_trigger_brings_its_own_udata(k: Kernel) -> str:
    kq = k.kqueue(k.change(1, "USER", "ADD CLEAR", udata=0xABC), k.trigger(1))
    return f"udata {kq.control(None, 9, 5)[0].udata:#x}"


@answered("U U")
def test_without_clear_it_stays_triggered(k: Kernel) -> str:
    kq = k.kqueue(k.change(1, "USER", "ADD"), k.trigger(1))
    return f"{k.ask(kq)} {k.ask(kq)}"


@answered("raised ENOENT", netbsd="raised EINVAL")
def test_a_trigger_of_what_was_never_added(k: Kernel) -> str:
    return k.ask(k.kqueue(), k.trigger(99), room=0)


@answered("-", macos="U")
def test_a_trigger_that_has_clear_among_its_flags(k: Kernel) -> str:
    """Such a trigger is lost: a trigger must be a change of its own."""
    return k.look(k.kqueue(k.change(1, "USER", "ADD CLEAR"), k.trigger(1, flags="CLEAR")))


@answered("0x123456789a")
def test_identifiers_have_64_bits(k: Kernel) -> str:
    kq = k.kqueue(k.change(0x123456789A, "USER", "ADD CLEAR"), k.trigger(0x123456789A))
    return f"{kq.control(None, 1, 5)[0].ident:#x}"


@answered(documented="several expirations")
def test_a_timer_counts_its_expirations(k: Kernel) -> str:
    kq = k.kqueue(k.change(1, "TIMER", "ADD", 0, 5))
    k.kqueue().control(None, 1, 0.03)
    (event,) = kq.control(None, 1, 5)
    return "several expirations" if event.data > 2 else f"{event.data} expirations"


@answered(documented="T1 -")
def test_a_timer_with_oneshot(k: Kernel) -> str:
    kq = k.kqueue(k.change(1, "TIMER", "ADD ONESHOT", 0, 5))
    return f"{k.ask(kq)} {k.look(kq)}"


@answered(documented="T1", netbsd="T!EINVAL")
def test_a_timer_of_no_time(k: Kernel) -> str:
    return k.ask(k.kqueue(), k.change(1, "TIMER", "ADD ONESHOT", 0, 0))
