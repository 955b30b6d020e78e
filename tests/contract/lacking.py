"""What a poller does not do yet: tests of the contract that it is expected to fail, and those it would hang in."""

LACKING: dict[str, set[str]] = {
    "native": {
        "test_connect.py::test_connected_to_itself_by_chance",
        "test_connect.py::test_what_ended_an_earlier_attempt_is_no_matter_of_the_next",
        "test_reset.py::test_a_datagram_socket_is_well",
        "test_reset.py::test_an_end_of_stream_that_was_told_stays_one_whatever_is_told_later",
        "test_reset.py::test_any_other_end_is_told_to_both",
        "test_reset.py::test_both_wait",
        "test_reset.py::test_nobody_waits",
        "test_reset.py::test_one_waits_and_the_other_comes_later",
        "test_reset.py::test_somebody_else_has_asked",
        "test_reset.py::test_what_came_before_is_delivered_before",
    },
}

NOT_RUN: dict[str, set[str]] = {}
