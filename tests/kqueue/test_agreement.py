"""How far the simulator agrees with the kernels that were asked, and where it differs."""

from __future__ import annotations

import pytest

from . import test_changes, test_modes, test_os_threads, test_readiness, test_reuse, test_user_and_timer
from .asked import RECORDS

# These modules contain the records.
ASKED = (test_changes, test_reuse, test_modes, test_os_threads, test_readiness, test_user_and_timer)

DIFFERENT = {
    "test_a_kqueue_closed_while_another_os_thread_waits",
    "test_oneshot_whose_condition_has_gone_again",
}


def test_seventy_of_seventy_five() -> None:
    """The other questions have tests of their own."""
    recorded = {name: record for name, record in RECORDS.items() if record.freebsd is not None}
    different = {name for name, record in recorded.items() if record.simulator is not None}
    assert len(recorded) == 75
    assert different == DIFFERENT
    assert len(recorded) - len(different) >= 70


def test_ten_differences_from_netbsd() -> None:
    """NetBSD answered 71 of the questions."""
    answers = [(record.netbsd or record.freebsd, record.simulator or record.freebsd) for record in RECORDS.values()]
    assert sum(netbsd not in (None, simulator) for netbsd, simulator in answers) == 10


@pytest.mark.parametrize("name", sorted(DIFFERENT))
def test_every_difference_has_its_reason(name: str) -> None:
    assert RECORDS[name].because
