"""What SOCKET2_CHECK=1 reports of operations that something other than a thread steps, and what is not misuse."""

from __future__ import annotations

from pathlib import Path

import pytest

from .test_checking import Script

# Operations that were stepped by something other than a thread.


@pytest.mark.parametrize(
    "step",
    [
        "kept = iter(conn.recv(1)); next(kept)",
        "kept = conn.recv(1).__await__(); kept.send(None)",
        "next(iter(conn.recv(1)))",
        "with __import__('contextlib').suppress(RuntimeError): list(conn.recv(1))",
    ],
    ids=["kept", "kept and sent to", "dropped", "stepped again"],
)
def test_an_operation_that_no_thread_drives_is_told_at_the_next_poll(tmp_path: Path, step: str) -> None:
    script = Script(
        tmp_path,
        f"""
        def main():
            listener, conn, peer = yield from connected()
            {step}  # HERE
            for _ in range(3):
                yield from sleep(0)  # once may be in the same turn, without a poll
            print("polled")
            close(listener, conn, peer)

        run(main)
        """,
    )
    (told,) = script.warnings
    assert f" recv made at {script.here[0]} was stepped at {script.here[0]} by something that is not a thread" in told
    assert script.stdout == "polled\n"


def test_a_thread_that_was_never_told_of_a_close_is_told_at_the_end_of_the_program(tmp_path: Path) -> None:
    script = Script(
        tmp_path,
        """
        def waits(conn):
            yield from conn.recv(1)  # HERE

        def main():
            listener, conn, peer = yield from connected()
            newthread(waits, conn)
            newthread(waits, peer)
            conn.close()
            close(listener)
            globals()["kept"] = peer  # open, and waited on: this is not misuse

        run(main)
        """,
    )
    (told,) = script.warnings
    assert f" recv made at {script.here[0]} was in flight when its socket was closed: nobody took its outcome" in told


# What is not misuse.


@pytest.mark.parametrize("check", [None, "", "0"])
def test_without_checking_nothing_is_told_and_nothing_of_it_is_loaded(tmp_path: Path, check: str | None) -> None:
    script = Script(
        tmp_path,
        """
        import sys

        from socket2.threads.scheduler import current_scheduler

        def main():
            listener, conn, peer = yield from connected()
            receiving, sleeping = conn.recv(1), sleep(1)
            assert type(receiving).__name__ in ("_Once", "Operation", "OneShot")
            assert type(sleeping).__name__ in ("Operation", "_Once")
            receiving.close()
            sleeping.close()
            kept = iter(conn.sendall(b"x"))
            listener.accept().close()
            next(iter(conn.recv(1)))
            yield from sleep(0.001)
            assert "Checked" not in type(current_scheduler().poller).__name__
            close(listener, conn, peer)

        run(main)
        assert not {"pollers.checked.checking", "pollers.checked.watched"} & sys.modules.keys()
        """,
        check,
    )
    assert script.stderr == ""


CORRECT = {
    "conversation": """
        def echo(peer):
            while data := (yield from peer.recv(10)):
                yield from peer.sendall(data)

        def main():
            listener, conn, peer = yield from connected()
            thread = newthread(echo, peer)
            yield from conn.sendall(b"hello")
            print((yield from conn.recv(10)))
            conn.shutdown(1)
            yield from thread.join()
            close(listener, conn, peer)

        run(main)
        """,
    "cancelled and late receivers": """
        def main():
            listener, conn, peer = yield from connected()
            newthread(receive, conn).cancel()
            yield from sleep(0)
            try:
                with timeout(0.001):
                    yield from conn.recv(10)
            except TimeoutError:
                print("late")
            close(listener, conn, peer)

        def receive(conn):
            yield from conn.recv(10)

        run(main)
        """,
    "closed while others wait": """
        def main():
            listener, conn, peer = yield from connected()
            threads = [newthread(attempt, conn.recv, 1), newthread(attempt, listener.accept)]
            close(listener, conn, peer)
            for thread in threads:
                print((yield from thread.join()))

        def attempt(func, *args):
            try:
                yield from func(*args)
            except Closed as error:
                return error

        run(main)
        """,
    "cancelled in a line of acceptors": """
        def main():
            listener, conn, peer = yield from connected()
            threads = [newthread(accept, listener) for _ in range(3)]
            for thread in reversed(threads):
                thread.cancel()
            yield from sleep(0)
            close(listener, conn, peer)

        def accept(listener):
            yield from listener.accept()

        run(main)
        """,
    "cancelled in a line of receivers": """
        def main():
            datagrams = udp()
            datagrams.bind("127.0.0.1")
            threads = [newthread(receive, datagrams) for _ in range(3)]
            for thread in reversed(threads):
                thread.cancel()
            yield from sleep(0)
            datagrams.close()

        def receive(datagrams):
            yield from datagrams.recv(1)

        run(main)
        """,
    "threads that are left at the end": """
        def main():
            listener, conn, peer = yield from connected()
            newthread(receive, conn)
            newthread(receive, peer)
            yield from sleep(0)

        def receive(conn):
            try:
                yield from conn.recv(1)
            finally:
                conn.close()

        run(main)
        """,
    "a loop that is closed": """
        from socket2.threads.member import current_member

        def main():
            listener, conn, peer = yield from connected()
            newthread(receive, conn)
            newthread(receive, peer)
            listener.close()
            yield from sleep(0)

        def receive(conn):
            with conn:
                yield from conn.recv(1)

        run(main)
        current_member().close()
        """,
    "an operation as a thread": """
        def main():
            listener, conn, peer = yield from connected()
            receiving = newthread(peer.recv, 5)
            sending = newthread(conn.sendall(b"hello"))
            yield from sending.join()
            print((yield from receiving.join()))
            close(listener, conn, peer)

        run(main)
        print(run(addr("127.0.0.1", 9)))
        """,
}


@pytest.mark.parametrize("program", CORRECT.values(), ids=CORRECT)
def test_a_correct_program_does_the_same_when_it_is_checked(tmp_path: Path, program: str) -> None:
    bare = Script(tmp_path, program, None)
    checked = Script(tmp_path, program, "1")
    assert (checked.stdout, checked.stderr) == (bare.stdout, bare.stderr)
    assert bare.stderr == ""
