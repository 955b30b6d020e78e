"""The package from outside: what an index shows, what a type checker sees, and how it is built."""

from __future__ import annotations

import ast
import importlib.metadata
import os
import re
import runpy
import subprocess
import sys
import tarfile
import tomllib
import urllib.parse
from pathlib import Path
from typing import Any

import pytest

import socket2

from .interop.peers import LIMIT_S, ROOT, needs
from .rooms import PACKAGES

BUILD_S = 300.0

LINK = re.compile(r"\]\(([^)\s]+)\)")


def project() -> Any:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def setup_py(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    pytest.importorskip("setuptools", minversion="77", reason="setup.py needs setuptools 77")
    monkeypatch.chdir(ROOT)
    return runpy.run_path("setup.py")


# What an index shows.


def test_the_readme_of_an_index_has_the_links_of_this_one_made_absolute(monkeypatch: pytest.MonkeyPatch) -> None:
    here = LINK.findall((ROOT / "README.md").read_text())
    there = LINK.findall(setup_py(monkeypatch)["index_readme"]("https://code.invalid/socket2"))
    assert len(here) == len(there) > 10
    for link, shown in zip(here, there, strict=True):
        if not link.startswith("https://"):
            assert (ROOT / link).is_file(), link
            assert shown == f"https://code.invalid/socket2/{'raw' if link.endswith('.png') else 'blob'}/main/{link}"


def test_the_readme_of_an_index_names_the_files_where_no_repository_is_public(monkeypatch: pytest.MonkeyPatch) -> None:
    here = LINK.findall((ROOT / "README.md").read_text())
    shown = setup_py(monkeypatch)["index_readme"](None)
    assert not [link for link in LINK.findall(shown) if not link.startswith("https://")]
    assert not [link for link in here if not link.startswith("https://") and f"`{link}`" not in shown]


def test_no_url_is_a_placeholder() -> None:
    hosts = [urllib.parse.urlsplit(url).hostname or "" for url in project().get("urls", {}).values()]
    assert not [host for host in hosts if re.search(r"(^|\.)(example|invalid|test|localhost)(\.\w+)?$", host)]


def test_what_is_installed_says_what_it_is() -> None:
    try:
        told = importlib.metadata.metadata("socket2")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the package is not installed")
    assert told["Version"] == socket2.__version__
    assert told["License-Expression"] == "MIT"
    assert told["Description-Content-Type"] == "text/markdown"
    links = LINK.findall(str(told.json["description"]))
    assert not [link for link in links if not link.startswith("https://")]


def test_the_python_that_runs_this_is_among_those_it_was_tested_on() -> None:
    prefix = "Programming Language :: Python :: 3."
    tested = [int(name.removeprefix(prefix)) for name in project()["classifiers"] if name.startswith(prefix)]
    assert project()["requires-python"] == f">=3.{min(tested)}"
    assert f"3.{min(tested)} to 3.{max(tested)}" in (ROOT / "README.md").read_text()


def test_the_module_of_crashhook_can_be_imported_by_its_name() -> None:
    program = """
import socket2.thread
from socket2.thread import Thread, crashhook

assert Thread is socket2.Thread
socket2.thread.crashhook = lambda thread, error: print(type(error).__name__)

def fail():
    yield from socket2.sleep(0)
    raise KeyError

socket2.newthread(fail)
socket2.start()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, timeout=LIMIT_S, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("KeyError\n", "")


def test_pytest_finds_the_plugin() -> None:
    assert project()["entry-points"] == {"pytest11": {"socket2": "pytest_socket2"}}
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]["find"]["include"]
    assert {f"{package}*" for package in PACKAGES} == set(found)


# What a type checker knows.


def checked(program: str, tmp_path: Path) -> str:
    """Return what `mypy --strict` says about a user's program."""
    pytest.importorskip("mypy", reason="mypy is not installed")
    path = tmp_path / "program.py"
    path.write_text(program)
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(path)]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=os.environ | {"MYPYPATH": str(ROOT)},
        capture_output=True,
        timeout=BUILD_S,
        text=True,
        check=False,
    )
    assert not done.stderr
    return done.stdout


USES = """
from collections.abc import Generator
from typing import Any

import socket2
from socket2 import TCP, Cancelled, Closed, bytes_sent


def generator(conn: TCP, data: bytearray) -> Generator[Any, None, int]:
    try:
        with socket2.timeout(5):
            yield from conn.sendall(data)
    except TimeoutError as error:
        del data[: bytes_sent(error)]
    except ConnectionError as error:
        reveal_type(bytes_sent(error))
        raise
    except (Cancelled, Closed) as error:
        reveal_type(error.bytes_sent)
        raise
    return len(data)


async def coroutine(conn: TCP, data: bytes) -> bytes:
    try:
        await conn.sendall(data)
    except OSError as error:
        return data[bytes_sent(error) :]
    return b""


socket2.newthread(generator, socket2.tcp(), bytearray(b"x"))
socket2.newthread(coroutine, socket2.tcp(), b"x")
socket2.start()
"""


def test_a_type_checker_takes_operation_for_the_decorator() -> None:
    """To pyright, `from .operation import ...` binds the name `operation` to the module. The last import counts."""
    imports = [
        node for node in ast.parse((ROOT / "pollers/__init__.py").read_text()).body if type(node) is ast.ImportFrom
    ]
    binding = [
        node for node in imports if node.module == "operation" or "operation" in [name.name for name in node.names]
    ]
    assert binding[-1].module == "decorator"


def test_a_users_program_passes_mypy(tmp_path: Path) -> None:
    said = checked(USES, tmp_path)
    assert [line.split(": ", 1)[1] for line in said.splitlines()[:-1]] == [
        'note: Revealed type is "int"',
        'note: Revealed type is "int"',
    ]


# How it is built.


@pytest.mark.skipif(sys.platform != "linux", reason="there is nothing in C for this system")
@pytest.mark.parametrize(("compiler", "why"), [("false", "failed"), ("no-such-compiler", "is not installed")])
def test_a_build_without_a_compiler_says_so_once(compiler: str, why: str, tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77", reason="setup.py needs setuptools 77")
    needs("false")
    command = [sys.executable, "setup.py", "--quiet", "build_ext", "--build-lib", str(tmp_path / "lib")]
    done = subprocess.run(
        [*command, "--build-temp", str(tmp_path / "temp")],
        cwd=ROOT,
        env=os.environ | {"CC": compiler},
        capture_output=True,
        timeout=BUILD_S,
        text=True,
        check=False,
    )
    said = f"socket2: built without its parts in C, so it is slower: {compiler} {why}\n"
    assert (done.returncode, done.stdout, done.stderr) == (0, "", said)
    assert not list(tmp_path.rglob("*.so"))


def test_the_sdist_has_all_modules_and_what_the_parts_in_c_are_made_of(tmp_path: Path) -> None:
    pytest.importorskip("setuptools", minversion="77", reason="setup.py needs setuptools 77")
    base = ["egg_info", "--egg-base", str(tmp_path), "sdist", "--formats", "tar", "--dist-dir", str(tmp_path)]
    done = subprocess.run(
        [sys.executable, "setup.py", "--quiet", *base],
        cwd=ROOT,
        capture_output=True,
        timeout=BUILD_S,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (archive,) = tmp_path.glob("*.tar")
    with tarfile.open(archive) as tar:
        held = {name.partition("/")[2] for name in tar.getnames()}
    for kind in ("*.py", "*.[ch]"):
        needed = {path.relative_to(ROOT).as_posix() for room in PACKAGES for path in (ROOT / room).rglob(kind)}
        assert needed
        assert needed <= held
