"""The simulator's faults really happen. Otherwise the tests that run with them would prove nothing."""

from __future__ import annotations

import errno
import select
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.kqueue_sim import Faults, simulator
from tests.kqueue_sim.faults import BY_NAME

from .asked import Kernel

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="the simulator runs on Linux")

Faulty = Callable[[Faults], Kernel]


@pytest.fixture
def faulty() -> Iterator[Faulty]:
    with ExitStack() as leaving:
        yield lambda faults: Kernel("freebsd", simulator(faults=faults), "freebsd", leaving)


def test_interrupted(faulty: Faulty) -> None:
    k = faulty(BY_NAME["interrupted"])
    one, other = k.pair()
    other.send(b"x")
    kq = k.kqueue(k.change(one, "WRITE", "ADD"), k.change(one, "READ", "ADD"))
    assert k.ask(kq, k.change(one, "WRITE", "DELETE"), room=4) == "W!ENOENT"
    assert k.ask(kq) == "R1"


def test_stale_events_come_with_real_ones(faulty: Faulty) -> None:
    k = faulty(BY_NAME["stale"])
    (one, other), (idle, _), (deleted, _) = k.pair(), k.pair(), k.pair()
    kq = k.kqueue(*(k.change(sock, "READ", "ADD CLEAR") for sock in (one, idle, deleted)))
    kq.control([k.change(deleted, "READ", "DELETE")], 0)
    assert k.look(kq) == "-"
    other.send(b"x")
    assert k.ask(kq) == "R0 R0 R1"
    other.send(b"x")
    assert k.ask(kq) == "R0 R2", "what was deleted comes once"


def test_a_stale_oneshot(faulty: Faulty) -> None:
    k = faulty(Faults())
    one, _ = k.pair()
    kq = k.kqueue(k.change(one, "READ", "ADD ONESHOT"))
    kq.sim_activate(one.fileno(), k.number("EVFILT_READ"))
    assert k.ask(kq) == "R0"


def test_refused(faulty: Faulty) -> None:
    k = faulty(Faults(refused={"EV_ADD": errno.ENOMEM, "EV_DELETE": errno.EINVAL}))
    one, _ = k.pair()
    kq = k.kqueue()
    assert k.ask(kq, k.change(one, "READ", "ADD"), room=0) == "raised ENOMEM"
    assert k.ask(kq, k.change(one, "READ", "DELETE"), room=1) == "R!EINVAL"


def test_one_event(faulty: Faulty) -> None:
    k = faulty(BY_NAME["one-event"])
    kq = k.kqueue(*(k.change(one, "WRITE", "ADD") for one in k.pair()))
    assert k.ask(kq, room=10) == "W"


def test_no_hints(faulty: Faulty) -> None:
    k = faulty(BY_NAME["no-hints"])
    one, other = k.pair()
    other.send(b"xyz")
    assert k.ask(k.kqueue(), k.change(one, "READ", "ADD")) == "R0"


def test_no_user_filter(faulty: Faulty) -> None:
    k = faulty(BY_NAME["no-user-filter"])
    assert k.ask(k.kqueue(), k.change(1, "USER", "ADD"), room=0) == "raised EINVAL"


def test_no_kqueue(faulty: Faulty) -> None:
    with pytest.raises(OSError, match="Too many open files"):
        faulty(Faults(no_kqueue=errno.EMFILE)).kqueue()


def test_every_fault_is_tried() -> None:
    """The whole contract runs with each fault. test_traps.py tests the faults with which no poller can be made."""
    tried = {name.replace("-", "_") for name in BY_NAME} | {"no_kqueue", "closed_by_fork"}
    assert {name.split("_delete")[0] for name in tried} == set(Faults.__dataclass_fields__)
