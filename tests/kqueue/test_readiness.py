"""What EVFILT_READ and EVFILT_WRITE report of sockets and pipes."""

from __future__ import annotations

import os
import select
import socket

from .asked import Kernel, answered, reset, so_error


@answered("R3 then R2")
def test_data_of_a_listener_is_the_number_of_connections(k: Kernel) -> str:
    listener = k.listener()
    kq = k.kqueue(k.change(listener, "READ", "ADD"))
    assert k.look(kq) == "-"
    for _ in range(3):
        k.connect(listener)
    first = k.ask(kq)
    k.own(listener.accept()[0])
    return f"{first} then {k.ask(kq)}"


@answered("R5 R5 R2 -")
def test_data_of_a_socket_is_the_number_of_bytes(k: Kernel) -> str:
    one, other = k.pair()
    kq = k.kqueue(k.change(one, "READ", "ADD"))
    other.send(b"hello")
    answers = [k.ask(kq), k.ask(kq)]
    one.recv(3)
    answers.append(k.ask(kq))
    one.recv(9)
    return " ".join([*answers, k.look(kq)])


@answered("R3")
def test_data_that_was_there_before_is_reported(k: Kernel) -> str:
    one, other = k.pair()
    other.send(b"abc")
    return k.ask(k.kqueue(), k.change(one, "READ", "ADD CLEAR"))


@answered("-")
def test_a_condition_that_has_gone_is_not_reported(k: Kernel) -> str:
    one, other = k.pair()
    kq = k.kqueue(k.change(one, "READ", "ADD"))
    other.send(b"x")
    one.recv(9)
    return k.look(kq)


@answered("- R4")
def test_low_water_mark(k: Kernel) -> str:
    one, other = k.pair()
    kq = k.kqueue(k.change(one, "READ", "ADD", k.number("NOTE_LOWAT"), 4))
    other.send(b"abc")
    first = k.look(kq)
    other.send(b"d")
    return f"{first} {k.ask(kq)}"


@answered("R1 W")
def test_reading_and_writing_are_two_events(k: Kernel) -> str:
    one, other = k.pair()
    other.send(b"x")
    return k.ask(k.kqueue(), k.change(one, "READ", "ADD"), k.change(one, "WRITE", "ADD"))


@answered("more than 1000")
def test_data_of_a_writer_is_the_room_in_the_buffer(k: Kernel) -> str:
    """FreeBSD said 49032, NetBSD 32768; Linux has larger ones."""
    one, _ = k.tcp()
    (event,) = k.kqueue().control([k.change(one, "WRITE", "ADD")], 1, 5)
    return "more than 1000" if event.data > 1000 else str(event.data)


@answered("W")
def test_connected(k: Kernel) -> str:
    listener = k.listener()
    client = k.own(socket.socket())
    client.connect_ex(listener.getsockname())
    return k.ask(k.kqueue(), k.change(client, "WRITE", "ADD"))


@answered("-")
def test_a_tcp_socket_that_was_never_connected_is_silent(k: Kernel) -> str:
    sock = k.own(socket.socket())
    return k.look(k.kqueue(k.change(sock, "READ", "ADD"), k.change(sock, "WRITE", "ADD")))


@answered("R1", netbsd="-")
def test_registered_before_listen(k: Kernel) -> str:
    sock = k.own(socket.socket())
    sock.bind(("127.0.0.1", 0))
    kq = k.kqueue(k.change(sock, "READ", "ADD"))
    sock.listen(5)
    k.connect(sock)
    return k.ask(kq)


# The end.


@answered("R3+EOF R0+EOF R0+EOF")
def test_data_and_end_are_one_event_and_the_end_stays(k: Kernel) -> str:
    one, other = k.pair()
    kq = k.kqueue(k.change(one, "READ", "ADD"))
    other.send(b"abc")
    other.shutdown(socket.SHUT_WR)
    first = k.ask(kq)
    one.recv(9)
    return " ".join([first, k.ask(kq), k.ask(kq)])


@answered("R0+EOF W")
def test_the_peers_end_is_none_of_the_writers_business(k: Kernel) -> str:
    one, other = k.tcp()
    other.shutdown(socket.SHUT_WR)
    k.settle()
    return k.ask(k.kqueue(), k.change(one, "READ", "ADD"), k.change(one, "WRITE", "ADD"))


@answered("R0+EOF -")
def test_the_end_is_reported_once_with_clear(k: Kernel) -> str:
    one, other = k.tcp()
    kq = k.kqueue(k.change(one, "READ", "ADD CLEAR"))
    other.shutdown(socket.SHUT_WR)
    k.settle()
    return f"{k.ask(kq)} {k.look(kq)}"


@answered("R0+EOF(ECONNRESET) W+EOF(ECONNRESET); SO_ERROR ECONNRESET")
def test_reset_by_the_peer(k: Kernel) -> str:
    one, other = k.tcp()
    reset(other)
    seen = k.ask(k.kqueue(), k.change(one, "READ", "ADD"), k.change(one, "WRITE", "ADD"))
    return f"{seen}; SO_ERROR {so_error(one)}"


@answered("R3+EOF(ECONNRESET)")
def test_reset_with_bytes_unread(k: Kernel) -> str:
    one, other = k.tcp()
    kq = k.kqueue(k.change(one, "READ", "ADD"))
    other.send(b"abc")
    k.settle()
    reset(other)
    return k.ask(kq)


@answered("W+EOF(ECONNREFUSED); SO_ERROR ECONNREFUSED")
def test_refused(k: Kernel) -> str:
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = nobody.getsockname()
    client = k.own(socket.socket())
    client.connect_ex(address)
    return f"{k.ask(k.kqueue(), k.change(client, 'WRITE', 'ADD'))}; SO_ERROR {so_error(client)}"


@answered(documented="R0+EOF W+EOF")
def test_the_peer_of_a_unix_pair_has_closed(k: Kernel) -> str:
    one, other = k.pair()
    other.close()
    return k.ask(k.kqueue(), k.change(one, "READ", "ADD"), k.change(one, "WRITE", "ADD"))


@answered("R0+EOF")
def test_own_shutdown_of_reading(k: Kernel) -> str:
    one, _ = k.pair()
    one.shutdown(socket.SHUT_RD)
    return k.ask(k.kqueue(), k.change(one, "READ", "ADD"))


@answered("W+EOF")
def test_own_shutdown_of_writing(k: Kernel) -> str:
    one, _ = k.tcp()
    one.shutdown(socket.SHUT_WR)
    return k.ask(k.kqueue(), k.change(one, "WRITE", "ADD"))


@answered(documented="R2 R0+EOF W+EOF")
def test_pipes(k: Kernel) -> str:
    reader, writer = k.pipe()
    kq = k.kqueue(k.change(reader, "READ", "ADD"))
    os.write(writer, b"ab")
    answers = [k.ask(kq)]
    os.read(reader, 9)
    os.close(writer)
    answers.append(k.ask(kq))
    reader, writer = k.pipe()
    kq = k.kqueue(k.change(writer, "WRITE", "ADD"))
    os.close(reader)
    return " ".join([*answers, k.ask(kq)])


# A kqueue is a descriptor, too.


@answered("R1")
def test_a_kqueue_in_a_kqueue(k: Kernel) -> str:
    inner = k.kqueue(k.change(1, "USER", "ADD"), k.trigger(1))
    return k.ask(k.kqueue(), k.change(inner, "READ", "ADD"))


@answered("R!EINVAL", netbsd="-")
def test_a_kqueue_in_itself(k: Kernel) -> str:
    kq = k.kqueue()
    return k.ask(kq, k.change(kq, "READ", "ADD"), wait_s=0.05)


@answered(documented="POLLIN")
def test_a_kqueue_in_poll(k: Kernel) -> str:
    kq = k.kqueue(k.change(1, "USER", "ADD"), k.trigger(1))
    look = select.poll()
    look.register(kq.fileno(), select.POLLIN)
    return "POLLIN" if look.poll(1000) else "-"
