"""What a poller does not do yet: tests of the contract that it is expected to fail, and those it would hang in."""

LACKING: dict[str, set[str]] = {
    "native": {
        "test_connect.py::test_connected_to_itself_by_chance",
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

NOT_RUN: dict[str, set[str]] = {
    "native": {
        "test_linger.py::test_close_waits_for_nobody",
        "test_linger.py::test_what_the_listener_has_is_inherited",
        "test_linger.py::test_who_waits_is_told_at_once",
        "test_strangers.py::test_its_operations_are_refused",
        "test_strangers.py::test_taken_over",
        "test_strangers.py::test_the_number_belongs_to_a_file",
        "test_strangers.py::test_the_number_belongs_to_a_newcomer",
        "test_strangers.py::test_the_number_belongs_to_a_newcomer_that_was_accepted",
        "test_strangers.py::test_the_number_belongs_to_a_socket_of_somebody_else",
        "test_strangers.py::test_the_others_go_on",
    },
}
