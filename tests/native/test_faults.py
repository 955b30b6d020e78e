"""Errors of accept(2) and a slow failure of send(2), caused by a preloaded library."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import pollers

PROGRAM = """
import socket
import pollers
from tests.contract.driver import Driver, does

driver = Driver(pollers.choose("native", checked=False), "native")
listener, address = driver.listener()
with socket.create_connection(address) as client:
    handle, peer = driver.run(does(listener.accept()))
    assert peer == client.getsockname()
    handle.close()
driver.close()
print("accepted")
"""

RESET = """
import os
import socket
import sys
import threading
import pollers
from tests.contract.driver import Driver, does

has_failed, failed = os.pipe()
may_go, go = os.pipe()
os.environ["FAULTS_SEND"] = f"{failed},{may_go}"
driver = Driver(pollers.choose("native", checked=False), "native")
driver.poller.share()
handle, peer = driver.half()
sending = driver.spawn(does(handle.sendall(bytes(64 << 20))))  # more than the kernel takes
peer.close()
returned = []
in_poll = threading.Thread(target=lambda: returned.extend(driver.poller.poll(30)), daemon=True)
in_poll.start()
os.read(has_failed, 1)
receiving = iter(handle.recv(10))
received = next(receiving, "nothing")
assert received is handle.reading, received
assert received.park("reader") is False
os.write(go, b"x")
in_poll.join()
assert "reader" in returned, returned
try:
    print(next(receiving, "nothing"))
except ConnectionResetError:
    print("reset")
handle.close()
driver.close()
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if "native" not in pollers.available():
        pytest.skip(f"native: {pollers.native_status()}")
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    built = tmp_path_factory.mktemp("faults") / "faults.so"
    source = Path(__file__).with_name("faults.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-Wall", "-o", built, source], check=True)
    return built


def preloaded(library: Path) -> str:
    return " ".join([*os.environ.get("LD_PRELOAD", "").split(), str(library)])


def accept_after(library: Path, *failures: int) -> tuple[list[str], str]:
    numbers = ",".join(map(str, failures))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "LD_PRELOAD": preloaded(library), "FAULTS_ACCEPT4": numbers},
        capture_output=True,
        text=True,
        timeout=60,
    )
    reported = [line for line in done.stderr.splitlines() if line.startswith("accept4: ")]
    assert len(reported) == len(failures), done.stderr
    return done.stdout.split(), done.stderr


def test_an_error_of_one_connection_is_not_the_listeners(library: Path) -> None:
    assert accept_after(library, errno.ECONNABORTED, errno.EPROTO, errno.EPERM, errno.EINTR)[0] == ["accepted"]


def test_a_crowd_that_has_left_is_told(library: Path) -> None:
    out, err = accept_after(library, *[errno.ECONNABORTED] * 64)
    assert out == []
    assert "Exhausted" in err
    assert "64 connections in a row were lost" in err


@pytest.mark.parametrize("name", ["EMFILE", "ENFILE", "ENOBUFS", "ENOMEM"])
def test_no_room(library: Path, name: str) -> None:
    number = getattr(errno, name)
    out, err = accept_after(library, number)
    assert out == []
    assert f"Exhausted: [Errno {number}] {os.strerror(number)}" in err


def test_an_error_of_the_listener(library: Path) -> None:
    out, err = accept_after(library, errno.EINVAL)
    assert out == []
    assert f"OSError: [Errno {errno.EINVAL}]" in err


def test_an_end_is_no_end_while_a_send_elsewhere_may_know_of_a_reset(library: Path) -> None:
    """The kernel has reported the error to a send in another OS thread, which waits for the GIL."""
    done = subprocess.run(
        [sys.executable, "-c", RESET],
        env={**os.environ, "LD_PRELOAD": preloaded(library)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "reset\n", done.stderr
