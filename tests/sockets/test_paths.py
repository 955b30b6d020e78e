"""The files of UNIX sockets: their rights and owners, and removing them."""

from __future__ import annotations

import errno
import os
import socket
import stat
import sys
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from pollers.paths import SUFFIX
from socket2 import TCP, Server, TLSListener, bind, connect, listen, run, serve, server_context, unix
from socket2.sockets.paths import PathRules

from ..conftest import descriptors

pytestmark = pytest.mark.skipif(not hasattr(os, "fchmod"), reason="this system has no UNIX sockets")
needs_root = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root gives files away")

Steps = Generator[Any, Any, Any]


@contextmanager
def umask(bits: int) -> Iterator[None]:
    before = os.umask(bits)
    try:
        yield
    finally:
        os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def left_by_a_dead_server(path: Path, kind: int = socket.SOCK_STREAM) -> None:
    with socket.socket(socket.AF_UNIX, kind) as sock:
        sock.bind(str(path))


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "s"
    assert [name for name in os.listdir(tmp_path) if name.endswith(SUFFIX)] == []


WAYS: dict[str, Callable[..., Any]] = {
    "listen": listen,
    "bind a stream": lambda path, **rules: bind(path, type="tcp", **rules),
    "bind datagrams": bind,
}


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Callable[..., Any]:
    return WAYS[request.param]


@pytest.mark.parametrize("bits", [0, 0o22, 0o177, 0o777])
def test_the_rights_are_those_that_were_asked_for(path: Path, way: Callable[..., Any], bits: int) -> None:
    with umask(bits):
        with way(path):
            assert mode_of(path) == 0o600
        for mode in (0o666, 0o660, 0o777, 0o200, 0):
            with way(path, mode=mode):
                assert mode_of(path) == mode
        with way(path, mode=None):
            assert mode_of(path) == 0o777 & ~bits
    assert not path.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no rights of sockets")
def test_a_path_never_has_more_rights_than_asked_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    real = os.lstat

    def looks(name: Any, **how: Any) -> Any:
        found = real(name, **how)
        if os.fspath(name) == str(path):
            seen.append(stat.S_IMODE(found.st_mode))
        return found

    monkeypatch.setattr(os, "lstat", looks)
    with umask(0):
        bind(path, mode=0o640).close()
    assert seen
    assert set(seen) == {0o640}


def test_nobody_can_connect_before_the_rights_are_set(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def chmod(name: Any, mode: int, **how: bool) -> None:
        with socket.socket(socket.AF_UNIX) as client, pytest.raises(ConnectionRefusedError):
            client.connect(str(path))
        real(name, mode, **how)
        tried.append(mode)

    real, tried = os.chmod, list[int]()
    monkeypatch.setattr(os, "chmod", chmod)
    with umask(0o777):
        listen(path, mode=0o666).close()
    assert tried == [0o666]


def test_the_rights_of_a_link_s_target_stay(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody replaces the file by a link just before it gets its rights."""
    target = path.with_name("target")
    target.touch(0o600)

    def chmod(name: Any, mode: int, **how: bool) -> None:
        path.unlink(missing_ok=True)
        path.symlink_to("target")
        with suppress(OSError):  # some systems change the link
            real(name, mode, **how)

    real = os.chmod
    monkeypatch.setattr(os, "chmod", chmod)
    with umask(0o777):
        listen(path, mode=0o666).close()
    assert path.is_symlink()
    assert mode_of(target) == 0o600


@needs_root
def test_the_owner(path: Path) -> None:
    import grp
    import pwd

    user, group = pwd.getpwall()[-1], grp.getgrall()[-1]
    expected: dict[Any, tuple[int, int]] = {
        4321: (4321, os.getegid()),
        user.pw_name: (user.pw_uid, os.getegid()),
        "4321": (4321, os.getegid()),
        f"{user.pw_name}:{group.gr_name}": (user.pw_uid, group.gr_gid),
        f":{group.gr_name}": (os.geteuid(), group.gr_gid),
        (4321, 4322): (4321, 4322),
        (user.pw_name, 4322): (user.pw_uid, 4322),
        (user.pw_uid, group.gr_name): (user.pw_uid, group.gr_gid),
        None: (os.geteuid(), os.getegid()),
    }
    for owner, ids in expected.items():
        for way in WAYS.values():
            with way(path, owner=owner, mode=0o660):
                assert (path.stat().st_uid, path.stat().st_gid) == ids
                assert mode_of(path) == 0o660


def test_an_owner_that_cannot_be_set_leaves_nothing_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **how: Any) -> None:
        raise PermissionError(errno.EPERM, "not the owner")

    listen(path).close()  # the poller has its descriptors now
    before = descriptors()
    monkeypatch.setattr(os, "chown", refuse)
    for way in WAYS.values():
        with pytest.raises(PermissionError):
            way(path, owner=4321)
        assert not path.exists()
    assert descriptors() == before
    with pytest.raises(TypeError, match="backlog"):
        listen(path, backlog="many")  # type: ignore[call-overload]
    assert not path.exists()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"mode": 0o1000}, ValueError),
        ({"mode": -1}, ValueError),
        ({"mode": "0600"}, TypeError),
        ({"owner": "nobody of that name"}, LookupError),
        ({"owner": ":no such group"}, LookupError),
        ({"owner": ":"}, ValueError),
        ({"owner": (1, 2, 3)}, ValueError),
        ({"owner": 1.5}, TypeError),
        ({"unlink": "always"}, ValueError),
        ({"unlink": True}, ValueError),
    ],
)
def test_wrong_rules(path: Path, wrong: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        PathRules(**wrong)
    for way in WAYS.values():
        with pytest.raises(error):
            way(path, **wrong)
    with pytest.raises(error):
        serve(print, path, **wrong)
    assert not path.exists()


@pytest.mark.parametrize(
    ("rule", "what"),
    [({"owner": 0}, "an owner"), ({"mode": 0o660}, "a mode"), ({"unlink": "never"}, "a file to leave")],
)
def test_only_a_path_has_rules(rule: dict[str, Any], what: str) -> None:
    for way in (listen, bind):
        with pytest.raises(ValueError, match=f"only a UNIX path has {what}"):
            way("127.0.0.1:0", **rule)

    async def main() -> None:
        with pytest.raises(ValueError, match=f"only a UNIX path has {what}"):
            await Server(print).listen("127.0.0.1:0", **rule)

    run(main)


# Removing it.


def test_the_file_is_removed_at_the_end_and_not_twice(path: Path, way: Callable[..., Any]) -> None:
    sock = way(path)
    assert path.exists()
    sock.close()
    assert not path.exists()
    path.write_text("mine")
    sock.close()
    assert path.read_text() == "mine"


def test_a_file_that_is_to_stay(path: Path, way: Callable[..., Any]) -> None:
    way(path, unlink="never").close()
    assert path.is_socket()


def test_a_socket_that_is_given_away_keeps_its_file(path: Path, way: Callable[..., Any]) -> None:
    with socket.socket(fileno=way(path).detach()):
        assert path.is_socket()


def test_a_path_that_leads_elsewhere_by_now(path: Path, way: Callable[..., Any]) -> None:
    sock = way(path)
    path.rename(path.with_name("moved"))
    path.write_text("not a socket")
    sock.close()
    assert path.read_text() == "not a socket"
    path.unlink()
    sock = way(path)
    path.unlink()
    with way(path):
        sock.close()
        assert path.is_socket()
    sock = way(path)
    path.unlink()
    path.symlink_to("moved")
    sock.close()
    assert path.is_symlink()


def test_the_directory_may_have_changed(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    sock = listen("./s")
    monkeypatch.chdir("/")
    sock.close()
    assert not path.exists()


def test_a_socket_that_is_forgotten(path: Path) -> None:
    with pytest.warns(ResourceWarning):
        listen(path)
    assert not path.exists()


def test_a_child_does_not_remove_it(path: Path) -> None:
    with listen(path) as sock:
        child = os.fork()
        if child == 0:
            sock.close()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert path.is_socket()
    assert not path.exists()


def test_a_tls_listener(path: Path, tmp_path: Path) -> None:
    import trustme

    pem = tmp_path / "key.pem"
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(str(pem))
    with listen(path, tls=server_context(pem), mode=0o606) as listener:
        assert isinstance(listener, TLSListener)
        assert mode_of(path) == 0o606
    assert not path.exists()


def test_a_server_removes_it_when_it_has_stopped(path: Path) -> None:
    seen = []

    def ready(server: Server) -> Steps:
        seen.append(mode_of(path))
        with (yield from connect(path)) as conn:
            assert (yield from conn.recv(10)) == b"hello"
        yield from server.stop()

    def handler(conn: TCP) -> Steps:
        yield from conn.sendall(b"hello")

    run(lambda: serve(handler, path, mode=0o620, ready=ready))
    assert seen == [0o620]
    assert not path.exists()
    run(lambda: serve(handler, path, unlink="never", ready=ready))
    assert path.is_socket()
    run(lambda: serve(handler, f"{path}", ready=ready))  # it is taken over
    assert not path.exists()


def test_raw_sockets_are_left_alone(path: Path) -> None:
    """unix() makes the system's calls and no others."""
    with umask(0o22):
        with unix() as sock:
            sock.listen(str(path))
            assert mode_of(path) == 0o755
    assert path.is_socket()
    with unix() as sock, pytest.raises(OSError, match=r"in use"):
        sock.listen(str(path))


def test_abstract_names_are_untouched(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if sys.platform != "linux":
        pytest.skip("only Linux has abstract names")
    monkeypatch.chdir(path.parent)
    name = f"@socket2 {os.getpid()}"
    for way in WAYS.values():
        with way(name) as sock:
            assert sock.getsockname() == b"\0" + name[1:].encode()
            if sock.type == "stream":
                with pytest.raises(OSError, match=r"in use"):
                    way(name)
    with pytest.raises(ValueError, match="only a UNIX path"):
        listen(name, owner=0)
    assert os.listdir(".") == []
