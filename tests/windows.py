"""The tests that are expected to fail on Windows, or under Wine, with the reason. All others must pass.

The list is strict: a listed test that passes is a failure, too. A name that ends before or within its parameters
stands for all tests that begin like it.
"""

from __future__ import annotations

_NO_UNIX = "Python has no socket.AF_UNIX on Windows"
_NO_SCOPE_NAMES = "Wine's getaddrinfo takes a scope by its number only"
_ANY_PROTOCOL = "Wine's getaddrinfo takes any protocol for any type"
_NO_FORK = "worker processes need fork(2), and Windows has none"
_NO_REUSEPORT = "Windows has no SO_REUSEPORT"
_NO_DUP = "a socket is no descriptor of the C library on Windows"
_NO_TEXTS = "Wine has no texts for Winsock's errors"
_NO_DETACH = "Wine has no FileReplaceCompletionInformation, by which a socket leaves its port"
_SHUTDOWN = "under Wine an own shutdown(SHUT_RD) does not wake a receive that waits"
_RESET = "under Wine a reset that nobody was waiting for looks like an end of stream"
_NOT_TOLD = "Wine's SO_ERROR says nothing of a reset"
_NO_IDENTITY = "Windows has nothing that tells a socket from another one with the same number"
_KEEPALIVE = "Wine has no TCP_KEEPIDLE"
_ROUTES = "Wine takes SO_DONTROUTE for set once and for all"
_INTERFACE = "Wine takes an interface for IPv4 by its address only, and not by its number"
_NO_CRYPTOGRAPHY = "the package cryptography does not load under Wine 8"
_NO_RECVMSG = "this server needs packet_info and recvmsg(), which are missing on Windows"
_NO_PIPES = "IOCP waits for sockets only, and not for pipes"
_REFUSED = "Wine tells a refused datagram only to a receive that was waiting already"

EXPECTED: dict[str, str] = {
    "tests/contract/test_close.py::test_a_descriptor_that_was_duplicated_goes_silent": _NO_DUP,
    "tests/contract/test_close.py::test_detach_gives_the_socket_back[iocp": _NO_DETACH,
    "tests/contract/test_connect.py::test_unix_path_where_nobody_is": _NO_UNIX,
    "tests/contract/test_exports.py::test_reset[select-bare-recv_into]": _RESET,
    "tests/contract/test_exports.py::test_reset[select-bare-recvfrom_into]": _RESET,
    "tests/contract/test_linger.py::test_no_seconds_reset_the_connection[iocp": _RESET,
    "tests/contract/test_linger.py::test_no_seconds_reset_the_connection[select": _RESET,
    "tests/contract/test_linger.py::test_what_the_listener_has_is_inherited[iocp-bare-0]": _RESET,
    "tests/contract/test_linger.py::test_what_the_listener_has_is_inherited[iocp-checked-0]": _RESET,
    "tests/contract/test_linger.py::test_what_the_listener_has_is_inherited[iocp-shared-0]": _RESET,
    "tests/contract/test_linger.py::test_what_the_listener_has_is_inherited[select-bare-0]": _RESET,
    "tests/contract/test_recv.py::test_own_shutdown_ends_the_receive[iocp": _SHUTDOWN,
    "tests/contract/test_recv.py::test_own_shutdown_ends_the_receive[select": _SHUTDOWN,
    "tests/contract/test_recv.py::test_reset_by_the_peer[select": _RESET,
    "tests/contract/test_reset.py::test_nobody_waits[iocp-bare-reader": _RESET,
    "tests/contract/test_reset.py::test_nobody_waits[iocp-checked-reader": _RESET,
    "tests/contract/test_reset.py::test_nobody_waits[iocp-shared-reader": _RESET,
    "tests/contract/test_reset.py::test_nobody_waits[select-bare-reader": _RESET,
    "tests/contract/test_reset.py::test_one_waits_and_the_other_comes_later[select-bare-reader": _RESET,
    "tests/contract/test_reset.py::test_what_came_before_is_delivered_before[iocp-bare-reader": _RESET,
    "tests/contract/test_reset.py::test_what_came_before_is_delivered_before[iocp-checked-reader": _RESET,
    "tests/contract/test_reset.py::test_what_came_before_is_delivered_before[iocp-shared-reader": _RESET,
    "tests/contract/test_reset.py::test_what_came_before_is_delivered_before[select-bare-reader": _RESET,
    "tests/contract/test_strangers.py::test_the_number_belongs_to_a_socket_of_somebody_else[iocp": _NO_IDENTITY,
    "tests/contract/test_strangers.py::test_the_number_belongs_to_a_socket_of_somebody_else[select": _NO_IDENTITY,
    "tests/contract/test_udp.py::test_refused_is_told_once_and_the_socket_is_well[select": _REFUSED,
    "tests/http/client/test_requests.py::test_a_body_comes_through_a_pipe": _NO_PIPES,
    "tests/http/client/test_requests.py::test_a_response_comes_while_the_request_is_sent": _NO_PIPES,
    "tests/http/test_cut_short.py::test_nothing_is_sent_behind_an_answer_that_was_given_up[to the end]": _RESET,
    "tests/http/test_failing_handlers.py::test_an_answer_without_an_end_is_reset_if_its_handler_fails": _RESET,
    "tests/sockets/test_addr.py::test_a_path_is_the_address_of_a_unix_socket": _NO_UNIX,
    "tests/sockets/test_addr.py::test_a_protocol_that_the_type_does_not_have_is_a_failed_look_up": _ANY_PROTOCOL,
    "tests/sockets/test_addr.py::test_a_scope_can_be_given_by_name_and_by_number": _NO_SCOPE_NAMES,
    "tests/sockets/test_addr.py::test_a_unix_socket_has_no_address_that_goes_without_saying": _NO_UNIX,
    **{
        f"tests/sockets/test_multicast.py::{test}[{poller}-inet]": _INTERFACE
        for test in (
            "test_a_group_is_joined_and_left",
            "test_several_receivers_on_one_port",
            "test_a_group_with_a_source",
        )
        for poller in ("iocp-bare", "iocp-checked", "select-bare")
    },
    "tests/test_examples_ping.py::test_a_stop_under_load_answers_whoever_was_greeted": _NO_FORK,
    "tests/test_examples_ping.py::test_a_worker_of_four_that_is_killed_takes_its_own_connections_with_it_only": (
        _NO_FORK
    ),
    "tests/test_examples_ping.py::test_a_worker_that_is_told_to_stop_answers_what_it_has_in_hand": _NO_FORK,
    "tests/test_examples.py::test_ctrl_c_ends_a_server_that_has_done_nothing_yet[worker_server.py]": _NO_FORK,
    "tests/test_examples_ping.py::test_ping_without_the_right_to": (
        "prctl(2), by which the right is given up, is Linux's"
    ),
    "tests/test_examples_proxy.py::test_proxy_resets_whom_it_cannot_connect": _RESET,
    "tests/threads/test_interruption_errors.py::test_a_bound_unix_socket_survives_a_connect_that_failed": _NO_UNIX,
    "tests/threads/test_interruption_errors.py::test_a_unix_sender_waits_while_the_receivers_queue_is_full": _NO_UNIX,
    "tests/test_main.py::test_a_port_that_is_taken_is_told_in_one_line": _NO_TEXTS,
    "tests/pollers/test_options.py::test_flags[dontroute": _ROUTES,
    "tests/pollers/test_options.py::test_keepalive_times": _KEEPALIVE,
    "tests/pollers/test_options.py::test_linger_0_resets_the_connection": _RESET,
    "tests/servers/test_server.py::test_an_address_that_cannot_be_had": _NO_TEXTS,
    "tests/servers/test_server.py::test_many_listeners_of_many_kinds": _NO_UNIX,
    "tests/servers/test_server.py::test_reuse_port_lets_two_servers_share_one": _NO_REUSEPORT,
    "tests/streams/test_stream_pieces.py::test_a_reset_keeps_what_has_come": _RESET,
    "tests/threads/test_sync.py::test_a_signal_handler_may_set_an_event": "Windows has no SIGUSR2",
    "tests/threads/test_sync.py::test_a_signal_handler_may_release_a_semaphore": "Windows has no SIGUSR2",
    "tests/sockets/test_tcp.py::test_giving_away_a_descriptor_ends_who_waits_on_it": _NO_DETACH,
    "tests/sockets/test_tcp_lifetime.py::test_a_reset_that_getsockopt_has_told_is_one_to_receives_and_sends": _NOT_TOLD,
    "tests/sockets/test_tcp.py::test_listen_forms": _NO_UNIX,
    "tests/sockets/test_tcp_connect.py::test_unix_connect_waits_while_the_queue_is_full": _NO_UNIX,
    "tests/sockets/test_tcp.py::test_what_it_is": _NO_UNIX,
    "tests/sockets/test_udp_many.py::test_a_refused_datagram_is_told_by_the_next_receive_and_the_socket_is_well": (
        _REFUSED
    ),
    "tests/sockets/test_udp_many.py::test_a_refused_datagram_is_told_by_the_next_send_and_only_once": _REFUSED,
    "tests/test_examples.py::test_ctrl_c_ends_a_server_that_has_done_nothing_yet[tftp_server.py]": _NO_RECVMSG,
    "tests/tls/test_contexts.py::test_an_encrypted_key_is_never_asked_for_on_the_terminal": _NO_CRYPTOGRAPHY,
    "tests/tls/test_endpoint.py::test_a_unix_path": _NO_UNIX,
}

_SERVER_ENDS = "at times Wine's server ends by an assertion while OS threads wake a select(), and all programs hang"

NOT_RUN: dict[str, str] = {
    "tests/contract/test_sharing.py::test_wakeups_from_many_os_threads[select": _SERVER_ENDS,
    "tests/threads/test_sharing_stress.py::test_a_random_program[select": _SERVER_ENDS,
}


def reason(node: str, listed: dict[str, str]) -> str | None:
    """Return why this test is listed, or None if it is not."""
    return next(
        (why for name, why in listed.items() if node == name or node.startswith((name + "[", name + "-"))), None
    )
