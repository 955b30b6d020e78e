"""Errors of accept(2), caused by a preloaded library."""

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


def accept_after(library: Path, *failures: int) -> tuple[list[str], str]:
    preload = " ".join([*os.environ.get("LD_PRELOAD", "").split(), str(library)])
    numbers = ",".join(map(str, failures))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, "LD_PRELOAD": preload, "FAULTS_ACCEPT4": numbers},
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
