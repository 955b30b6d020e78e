"""Programs in other languages: what each needs, how it is built, and which version it then has.

Knows compilers and Debian's packages, and nothing of measurements. A program is built when its row is first
measured, and again if its source is newer. Nothing is downloaded and nothing is installed: what is missing is
said together with the package that has it, and the row is absent.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench.build import BUILD, FLAGS, compiler
from bench.programs import BenchError

__all__ = ["ALL", "GO", "JAVA", "LIBUV", "NODE", "TOKIO", "Foreign"]

ECHO = Path(__file__).resolve().parent / "servers" / "echo"
UV_HEADER = Path("/usr/include/uv.h")
# Debian puts the sources of its Rust packages here. Cargo takes them instead of a registry.
CRATES = Path("/usr/share/cargo/registry")
BUILD_TIMEOUT_S = 900.0
VERSION_TIMEOUT_S = 30.0


def _run(*command: str, timeout_s: float, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
    except OSError as error:
        raise BenchError(f"cannot start {command[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise BenchError(f"{command[0]} took more than {timeout_s:g} s") from error
    if done.returncode != 0:
        raise BenchError(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-600:]}")
    return (done.stdout + done.stderr).strip()


@dataclass(frozen=True)
class Foreign:
    """How to get one program.

    Args:
        language: its language or runtime, as people call it.
        source: the file or directory it is built from.
        programs: the programs it needs, each with Debian's package.
        files: the files it needs, each with Debian's package.
        build: builds it; None if it runs from its source.
        product: what it is built into.
        command: how it is started.
        asked: returns its version.
    """

    language: str
    source: Path
    programs: dict[str, str]
    files: dict[Path, str]
    build: Callable[[], None] | None
    product: Path
    command: tuple[str, ...]
    asked: Callable[[], str]

    def missing(self) -> str | None:
        """Build the program unless it is there. Returns why it cannot be, or None."""
        absent = [(name, package) for name, package in self.programs.items() if shutil.which(name) is None]
        absent += [(str(path), package) for path, package in self.files.items() if not path.exists()]
        if absent:
            names, packages = zip(*absent, strict=True)
            return f"needs {' and '.join(names)} (Debian: {' '.join(dict.fromkeys(packages))})"
        if self.build is None or self._is_fresh():
            return None
        BUILD.mkdir(exist_ok=True)
        try:
            self.build()
        except BenchError as error:
            return f"could not be built: {error}"
        return None

    def packages(self) -> list[str]:
        """Return the Debian packages that it needs."""
        return sorted({*self.programs.values(), *self.files.values()})

    def version(self) -> str | None:
        """Return the version, or None if nobody can say it."""
        try:
            return self.asked()
        except (BenchError, OSError):
            return None

    def _is_fresh(self) -> bool:
        parts = self.source.rglob("*") if self.source.is_dir() else [self.source]
        return self.product.exists() and self.product.stat().st_mtime > max(part.stat().st_mtime for part in parts)


def _build_go() -> None:
    home = {"HOME": str(BUILD), "GOCACHE": str(BUILD / "go-cache"), "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
    _run("go", "build", "-o", str(GO_PROGRAM), str(ECHO / "net.go"), timeout_s=BUILD_TIMEOUT_S, env=home)


def _build_libuv() -> None:
    command = [*compiler(), *FLAGS, "-o", str(LIBUV_PROGRAM), str(ECHO / "libuv.c"), "-luv"]
    _run(*command, timeout_s=BUILD_TIMEOUT_S)


def _build_java() -> None:
    _run("javac", "-d", str(BUILD), str(ECHO / "NioEcho.java"), timeout_s=BUILD_TIMEOUT_S)


def _build_tokio() -> None:
    crate = BUILD / "tokio"
    shutil.rmtree(crate, ignore_errors=True)
    shutil.copytree(ECHO / "tokio", crate)
    offline = [f"source.debian.directory='{CRATES}'", "source.crates-io.replace-with='debian'"]
    configured = [word for line in offline for word in ("--config", line)]
    # Debian's own compiler if there is one: another may refuse the sources of Debian's packages.
    found = {name: f"/usr/bin/{name}" if Path(f"/usr/bin/{name}").exists() else name for name in ("cargo", "rustc")}
    command = [found["cargo"], "build", "--release", "--offline", *configured]
    _run(*command, cwd=crate, timeout_s=BUILD_TIMEOUT_S, env={"RUSTC": found["rustc"]})
    (crate / "target" / "release" / "tokio-echo").replace(TOKIO_PROGRAM)


@cache
def _first_line(*command: str) -> str:
    return _run(*command, timeout_s=VERSION_TIMEOUT_S).partition("\n")[0]


def _version_of_tokio() -> str:
    lines = (BUILD / "tokio" / "Cargo.lock").read_text().splitlines()
    tokio = next(number for number, line in enumerate(lines) if line == 'name = "tokio"')
    return "tokio " + lines[tokio + 1].split('"')[1]


def _version_of_libuv() -> str:
    text = (UV_HEADER.parent / "uv" / "version.h").read_text()
    numbers = [re.findall(rf"define UV_VERSION_{part} +([0-9]+)", text) for part in ("MAJOR", "MINOR", "PATCH")]
    return "libuv " + ".".join(number for found in numbers for number in found[:1])


GO_PROGRAM, LIBUV_PROGRAM, TOKIO_PROGRAM = BUILD / "go_echo", BUILD / "libuv_echo", BUILD / "tokio_echo"

GO = Foreign(
    "Go",
    ECHO / "net.go",
    {"go": "golang-go"},
    {},
    _build_go,
    GO_PROGRAM,
    (str(GO_PROGRAM),),
    lambda: _first_line("go", "version").split()[2],
)
NODE = Foreign(
    "Node",
    ECHO / "net.js",
    {"node": "nodejs"},
    {},
    None,
    ECHO / "net.js",
    ("node", str(ECHO / "net.js")),
    lambda: "node " + _first_line("node", "--version"),
)
JAVA = Foreign(
    "Java",
    ECHO / "NioEcho.java",
    {"java": "default-jre-headless", "javac": "default-jdk-headless"},
    {},
    _build_java,
    BUILD / "NioEcho.class",
    ("java", "-XX:+UseSerialGC", "-cp", str(BUILD), "NioEcho"),
    lambda: _first_line("java", "-version"),
)
LIBUV = Foreign(
    "libuv",
    ECHO / "libuv.c",
    {compiler()[0]: "gcc"},
    {UV_HEADER: "libuv1-dev"},
    _build_libuv,
    LIBUV_PROGRAM,
    (str(LIBUV_PROGRAM),),
    _version_of_libuv,
)
TOKIO = Foreign(
    "tokio",
    ECHO / "tokio",
    {"cargo": "cargo"},
    {CRATES: "librust-tokio-dev"},
    _build_tokio,
    TOKIO_PROGRAM,
    (str(TOKIO_PROGRAM),),
    _version_of_tokio,
)
ALL = (LIBUV, TOKIO, GO, JAVA, NODE)
