"""Child processes: their streams, and what they get from us."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from subprocess import DEVNULL, PIPE, STDOUT
from typing import Any

import pytest

from socket2 import (
    Closed,
    connect,
    fd_stream,
    listen,
    newthread,
    pipe,
    process,
    run,
    stream,
    timeout,
)

from ..memory import memory_pair
from .started import MUCH, SLEEP, Steps, python, settled

pytestmark = pytest.mark.usefixtures("exit_way")


# Streams.


def test_a_conversation() -> None:
    def main() -> Steps:
        with process(["cat"], stdin=PIPE, stdout=PIPE) as cat:
            assert cat.returncode is None
            for line in (b"one", b"two"):
                yield from cat.stdin.sendall(line + b"\n")
                assert (yield from cat.stdout.recvline()) == line
            cat.stdin.close()
            assert (yield from cat.stdout.recvline()) is None
            assert (yield from cat.wait()) == 0
            assert cat.returncode == 0
            assert (yield from cat.wait()) == 0

    run(settled, main)


def test_much_data_both_ways() -> None:
    def main() -> Steps:
        with process(["cat"], stdin=PIPE, stdout=PIPE) as cat:

            def send() -> Steps:
                with cat.stdin:
                    yield from cat.stdin.sendall(bytes(MUCH))

            sending = newthread(send)
            assert (yield from cat.stdout.recvall()) == bytes(MUCH)
            yield from sending.join()
            assert (yield from cat.wait()) == 0

    run(settled, main)


def test_the_error_output() -> None:
    def main() -> Steps:
        with process(["sh", "-c", "echo out; echo err >&2"], stdout=PIPE, stderr=PIPE) as both:
            assert (yield from both.stdout.recvall()) == b"out\n"
            assert (yield from both.stderr.recvall()) == b"err\n"
            yield from both.wait()
        with process(["sh", "-c", "echo out; echo err >&2"], stdout=PIPE, stderr=STDOUT) as one:
            assert (yield from one.stdout.recvall()) == b"out\nerr\n"
            with pytest.raises(ValueError, match="stderr=subprocess.PIPE"):
                _ = one.stderr
            yield from one.wait()
        with process(["sh", "-c", "echo out; echo err >&2"], stdout=DEVNULL, stderr=DEVNULL) as none:
            assert (yield from none.wait()) == 0

    run(settled, main)


def test_files_and_descriptors(tmp_path: Path) -> None:
    (tmp_path / "in").write_text("given")

    def main() -> Steps:
        with (tmp_path / "in").open("rb") as given, (tmp_path / "out").open("wb") as taken:
            with process(["cat"], stdin=given, stdout=taken.fileno()) as cat:
                assert (yield from cat.wait()) == 0
            assert not given.closed
            os.fstat(taken.fileno())
        assert (tmp_path / "out").read_text() == "given"

    run(settled, main)


def test_a_pipeline() -> None:
    def main() -> Steps:
        with (
            process(["seq", "100000"], stdout=PIPE) as numbers,
            process(["grep", "99"], stdin=numbers.stdout, stdout=PIPE) as some,
            process(["head", "-n", "2"], stdin=some.stdout, stdout=PIPE) as first,
        ):
            assert numbers.stdout.closed
            assert some.stdout.closed
            assert (yield from first.stdout.recvall()) == b"99\n199\n"
            assert (yield from first.wait()) == 0
            yield from some.wait()  # SIGPIPE has ended the others, since nobody else has their pipes
            yield from numbers.wait()

    run(settled, main)


SHOW_BLOCKING = "import os; print(os.get_blocking(0), os.get_blocking(1), flush=True); os.read(0, 1)"


def test_a_stream_that_is_handed_over_is_blocking_in_the_child() -> None:
    def main() -> Steps:
        reader, writer = pipe()
        inward, outward = pipe()
        with process(python(SHOW_BLOCKING), stdin=stream(reader), stdout=outward) as shown, stream(inward) as lines:
            assert reader.closed
            assert outward.closed
            assert (yield from lines.recvline()) == b"True True"
            with writer:
                yield from writer.sendall(b"x")
            assert (yield from shown.wait()) == 0

    run(settled, main)


def test_a_socket_that_is_handed_over() -> None:
    def main() -> Steps:
        with listen("127.0.0.1:0") as listener, (yield from connect(*listener.local_address)) as client:
            conn = yield from listener.accept()
            with pytest.raises(TimeoutError), timeout(0.01):
                yield from conn.recv(1)  # it is attached
            with process(python(SHOW_BLOCKING), stdin=conn, stdout=conn) as shown, stream(client) as lines:
                assert conn.closed
                assert (yield from lines.recvline()) == b"True True"
                yield from lines.sendall(b"x")
                assert (yield from lines.recvline()) is None
                assert (yield from shown.wait()) == 0

    run(main)


def test_a_stream_with_unread_data_is_not_handed_over() -> None:
    def main() -> Steps:
        reader, writer = pipe()
        with stream(reader) as lines, writer:
            yield from writer.sendall(b"one\ntwo\n")
            yield from lines.recvline()
            with pytest.raises(ValueError, match="bytes in its buffer"):
                process(["cat"], stdin=lines)
            assert (yield from lines.recvline()) == b"two"
        with pytest.raises(Closed):
            process(["cat"], stdin=lines)

    run(settled, main)


def test_a_stream_over_more_than_a_descriptor_is_not_handed_over() -> None:
    def main() -> Steps:
        ours, theirs = memory_pair()
        with stream(ours) as layered, stream(theirs):
            with pytest.raises(TypeError, match="a pipe or a socket"):
                process(["cat"], stdin=layered)
            assert not layered.closed
        yield from ()

    run(settled, main)


def test_a_program_that_cannot_be_started_leaves_all_as_it_was(tmp_path: Path) -> None:
    def main() -> Steps:
        reader, writer = pipe()
        with reader, writer:
            (tmp_path / "file").touch()
            for error, args in (
                (FileNotFoundError, [tmp_path / "missing"]),
                (PermissionError, [tmp_path]),
                (NotADirectoryError, [tmp_path / "file" / "x"]),
            ):
                with pytest.raises(error):
                    process(args, stdin=reader, stdout=PIPE, stderr=PIPE)
            assert not reader.closed
            with pytest.raises(TimeoutError), timeout(0.01):
                yield from reader.recv(1)  # it is non-blocking

    run(settled, main)


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_no_descriptor_is_left_for_a_pipe(failing: int, monkeypatch: pytest.MonkeyPatch) -> None:
    make, made = os.pipe, []

    def scarce() -> tuple[int, int]:
        made.append(1)
        if len(made) == failing:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return make()

    def main() -> Steps:
        yield from ()
        monkeypatch.setattr(os, "pipe", scarce)
        with pytest.raises(OSError, match="Too many open files"):
            process(["cat"], stdin=PIPE, stdout=PIPE, stderr=PIPE)
        monkeypatch.undo()

    run(settled, main)


# What the child is given.


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="this system does not list descriptors")
def test_no_descriptor_leaks_into_a_child() -> None:
    def main() -> Steps:
        extra = os.pipe()
        for fd in extra:
            os.set_inheritable(fd, True)
        args = ["sh", "-c", "ls /proc/$$/fd; read line"]
        with process(SLEEP, stdin=PIPE, stdout=PIPE), process(args, stdin=PIPE, stdout=PIPE, stderr=PIPE) as shown:
            listed = yield from shown.stdout.recvn(4)
            shown.stdin.close()
            listed += yield from shown.stdout.recvall()
            assert set(listed.split()) == {b"0", b"1", b"2"}
            yield from shown.wait()
        for fd in extra:
            os.close(fd)

    run(settled, main)


def test_descriptors_that_are_passed() -> None:
    def main() -> Steps:
        reader, writer = os.pipe()
        with process(python(f"import os; os.write({writer}, b'passed')"), pass_fds=[writer]) as passed:
            os.close(writer)
            with stream(fd_stream(reader)) as lines:
                assert (yield from lines.recvall()) == b"passed"
            yield from passed.wait()

    run(settled, main)


def test_environment_directory_and_session(tmp_path: Path) -> None:
    code = "import os; print(os.environ['GIVEN'], os.getcwd(), os.getsid(0) == os.getpid())"

    def main() -> Steps:
        env = {"GIVEN": "yes"}
        with process(python(code), stdout=PIPE, env=env, cwd=tmp_path, start_new_session=True) as shown:
            assert (yield from shown.stdout.recvline()) == f"yes {tmp_path.resolve()} True".encode()
            yield from shown.wait()
        with process(python(code), stdout=PIPE, env=env) as shown:
            assert (yield from shown.stdout.recvline()) == f"yes {Path.cwd()} False".encode()
            yield from shown.wait()

    run(settled, main)


@pytest.mark.parametrize("args", ["ls", b"ls", Path("ls")])
def test_one_string_is_no_list(args: Any) -> None:
    with pytest.raises(TypeError, match="a list of arguments is needed"):
        process(args)


def test_no_arguments_at_all() -> None:
    with pytest.raises(ValueError, match="no program"):
        process([])


@pytest.mark.parametrize(("name", "redirect"), [("stdout", STDOUT), ("stdin", STDOUT), ("stderr", -7), ("stdin", -7)])
def test_what_is_no_place_for_a_stream_is_refused(name: str, redirect: int) -> None:
    with pytest.raises(ValueError, match=f"^{name} "):
        process(["true"], **{name: redirect})  # type: ignore[arg-type]
