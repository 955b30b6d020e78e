"""EV_CLEAR, EV_ONESHOT, EV_DISPATCH, EV_DISABLE, and what a second EV_ADD changes."""

from __future__ import annotations

from .asked import Kernel, answered


@answered("R3 - R4")
def test_clear_tells_once_of_three_connections_and_again_of_the_fourth(k: Kernel) -> str:
    listener = k.listener()
    kq = k.kqueue(k.change(listener, "READ", "ADD CLEAR"))
    for _ in range(3):
        k.connect(listener)
    answers = [k.ask(kq), k.look(kq)]
    k.connect(listener)
    return " ".join([*answers, k.ask(kq)])


@answered("R5 - - R4")
def test_clear_tells_once_per_arrival_and_not_after_a_part_was_read(k: Kernel) -> str:
    one, other = k.pair()
    kq = k.kqueue(k.change(one, "READ", "ADD CLEAR"))
    other.send(b"hello")
    answers = [k.ask(kq), k.look(kq)]
    one.recv(3)
    answers.append(k.look(kq))
    other.send(b"xy")
    return " ".join([*answers, k.ask(kq)])


@answered("R5 R5")
def test_clear_tells_of_an_arrival_that_leaves_the_count_as_it_was(k: Kernel) -> str:
    one, other = k.pair()
    kq = k.kqueue(k.change(one, "READ", "ADD CLEAR"))
    other.send(b"hello")
    first = k.ask(kq)
    one.recv(2)
    other.send(b"yz")
    return f"{first} {k.ask(kq)}"


@answered("W - W")
def test_clear_tells_a_writer_once_and_again_when_a_full_buffer_drains(k: Kernel) -> str:
    one, other = k.tcp()
    kq = k.kqueue(k.change(one, "WRITE", "ADD CLEAR"))
    answers = [k.ask(kq), k.look(kq)]
    full = 0
    while full < 3:  # repeat until it stays full
        try:
            while True:
                one.send(bytes(1 << 16))
        except BlockingIOError:
            k.settle()
            full = full + 1 if k.look(kq) == "-" else 0
    try:
        while other.recv(1 << 20):
            k.settle()
    except BlockingIOError:
        pass
    return " ".join([*answers, k.ask(kq)])


@answered("R1 - R!ENOENT")
def test_oneshot_is_gone_after_its_event(k: Kernel) -> str:
    one, other = k.pair()
    kq = k.kqueue(k.change(one, "READ", "ADD ONESHOT"))
    other.send(b"x")
    return " ".join([k.ask(kq), k.look(kq), k.ask(kq, k.change(one, "READ", "DELETE"))])


@answered("R1 R1")
def test_oneshot_added_again_while_the_data_waits(k: Kernel) -> str:
    one, other = k.pair()
    kq = k.kqueue(k.change(one, "READ", "ADD ONESHOT"))
    other.send(b"x")
    return f"{k.ask(kq)} {k.ask(kq, k.change(one, 'READ', 'ADD ONESHOT'))}"


@answered(
    "stale",
    macos="-",
    simulator="-",
    because="a wake-up is noticed when somebody looks; sim_activate() makes a stale one",
)
def test_oneshot_whose_condition_has_gone_again(k: Kernel) -> str:
    one, other = k.pair()
    kq = k.kqueue(k.change(one, "READ", "ADD ONESHOT"))
    other.send(b"x")
    one.recv(9)
    return "-" if k.look(kq) == "-" else "stale"


@answered("R1 - R1 -", netbsd="R1 - - -")
def test_dispatch_tells_once_and_again_when_enabled(k: Kernel) -> str:
    one, other = k.pair()
    kq = k.kqueue(k.change(one, "READ", "ADD DISPATCH"))
    other.send(b"x")
    return " ".join([k.ask(kq), k.look(kq), k.ask(kq, k.change(one, "READ", "ENABLE DISPATCH"), wait_s=1), k.look(kq)])


@answered("R1 - R1 -")
def test_dispatch_added_and_enabled_again(k: Kernel) -> str:
    one, other = k.pair()
    kq = k.kqueue(k.change(one, "READ", "ADD DISPATCH"))
    other.send(b"x")
    return " ".join([k.ask(kq), k.look(kq), k.ask(kq, k.change(one, "READ", "ADD ENABLE DISPATCH")), k.look(kq)])


@answered("- R1")
def test_disable_hides_and_enable_shows_what_came(k: Kernel) -> str:
    one, other = k.pair()
    kq = k.kqueue(k.change(one, "READ", "ADD"), k.change(one, "READ", "DISABLE"))
    other.send(b"x")
    return f"{k.look(kq)} {k.ask(kq, k.change(one, 'READ', 'ENABLE'))}"


@answered("- R1")
def test_added_disabled(k: Kernel) -> str:
    one, other = k.pair()
    kq = k.kqueue(k.change(one, "READ", "ADD DISABLE"))
    other.send(b"x")
    return f"{k.look(kq)} {k.ask(kq, k.change(one, 'READ', 'ADD ENABLE'))}"


@answered("after ADD: -; after ADD ENABLE: R1")
def test_add_alone_does_not_enable(k: Kernel) -> str:
    """The man pages say that it does."""
    one, other = k.pair()
    other.send(b"x")
    kq = k.kqueue(k.change(one, "READ", "ADD"), k.change(one, "READ", "DISABLE"), k.change(one, "READ", "ADD"))
    return f"after ADD: {k.look(kq)}; after ADD ENABLE: {k.ask(kq, k.change(one, 'READ', 'ADD ENABLE'))}"


@answered("R!EINVAL", netbsd="-", macos="-")
def test_enable_and_disable_at_once(k: Kernel) -> str:
    one, _ = k.pair()
    kq = k.kqueue(k.change(one, "READ", "ADD"))
    return k.ask(kq, k.change(one, "READ", "ENABLE DISABLE"), room=1, wait_s=0.01)


@answered("1 event, udata 7")
def test_added_again_the_udata_is_the_new_one(k: Kernel) -> str:
    one, other = k.pair()
    other.send(b"x")
    kq = k.kqueue(k.change(one, "READ", "ADD", udata=3), k.change(one, "READ", "ADD", udata=7))
    events = kq.control(None, 9, 5)
    return f"{len(events)} event, udata {events[0].udata}"


@answered("R1 R1")
def test_added_again_the_mode_is_the_old_one(k: Kernel) -> str:
    one, other = k.pair()
    other.send(b"x")
    kq = k.kqueue(k.change(one, "READ", "ADD"), k.change(one, "READ", "ADD CLEAR"))
    return f"{k.ask(kq)} {k.look(kq)}"


@answered("R1 W, R1, R1")
def test_two_filters_of_a_socket_have_a_mode_each(k: Kernel) -> str:
    one, other = k.pair()
    other.send(b"x")
    kq = k.kqueue(k.change(one, "READ", "ADD"), k.change(one, "WRITE", "ADD CLEAR"))
    return ", ".join(k.ask(kq) for _ in range(3))


@answered(
    "0x20; added with RECEIPT 0x40", netbsd="0x21; added with RECEIPT 0x41", macos="0x21; added with RECEIPT 0x41"
)
def test_flags_of_an_event(k: Kernel) -> str:
    """An event has the flags of its knote, so test single bits and never the whole number."""
    one, other = k.pair()
    other.send(b"x")
    (clear,) = k.kqueue().control([k.change(one, "READ", "ADD CLEAR")], 1, 5)
    kq = k.kqueue()
    kq.control([k.change(one, "READ", "ADD RECEIPT")], 1)
    (receipt,) = kq.control(None, 1, 5)
    return f"{clear.flags:#x}; added with RECEIPT {receipt.flags:#x}"


@answered("0xffffffffffffffff 0x8000000000000001")
def test_udata_has_64_bits(k: Kernel) -> str:
    one, other = k.pair()
    other.send(b"x")
    found = []
    for udata in (2**64 - 1, 2**63 + 1):
        (event,) = k.kqueue().control([k.change(one, "READ", "ADD", udata=udata)], 1, 5)
        found.append(f"{event.udata:#x}")
    return " ".join(found)


@answered("6 of 6")
def test_level_triggered_events_take_turns(k: Kernel) -> str:
    kq = k.kqueue()
    for _ in range(6):
        one, other = k.pair()
        other.send(b"x")
        kq.control([k.change(one, "READ", "ADD")], 0)
    seen = {event.ident for _ in range(3) for event in kq.control(None, 2, 5)}
    return f"{len(seen)} of 6"
