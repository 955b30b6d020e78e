"""The C programs: the baseline servers and the load generators, compiled on first use; and what is preloaded into them.

Knows the C compiler. A program is rebuilt if any source in bench/c is newer, so that nobody measures
an old one. The compiler is `$CC` or `cc`. The flags are fixed, so that baselines are comparable. Only
the programs for TLS need a library, so that the others can be built without it.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from bench.programs import BenchError

__all__ = ["BUILD", "FLAGS", "HEAP", "build_all", "compiler", "compiler_version"]

SOURCES = Path(__file__).resolve().parent / "c"
BUILD = SOURCES.parent / "build"
FLAGS = ("-std=gnu11", "-O2", "-pthread", "-Wall", "-Wextra")
TLS_PROGRAMS = "tls_"
OPENSSL = ("-lssl", "-lcrypto")
HEAP = BUILD / "tls_heap"
"""A library. Preloaded into a program, it answers a line with how much memory that has from malloc()."""


def build_all(tls: bool = False) -> None:
    """Compile all programs that are missing or older than a source, before anything is measured.

    Args:
        tls: also those that need OpenSSL.

    Raises:
        BenchError: there is no C compiler, or it fails.
    """
    BUILD.mkdir(exist_ok=True)
    newest = max(path.stat().st_mtime for path in SOURCES.iterdir())
    for source in sorted(SOURCES.glob("*.c")):
        program = BUILD / source.stem
        if source.stem.startswith(TLS_PROGRAMS) and not tls:
            continue
        if not program.exists() or program.stat().st_mtime < newest:
            _compile(source, program)


def compiler_version() -> str:
    """Return the name and version that the compiler prints."""
    try:
        done = subprocess.run([*compiler(), "--version"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "gone since the build"
    return done.stdout.partition("\n")[0]


def compiler() -> list[str]:
    """Return the command of the C compiler."""
    return shlex.split(os.environ.get("CC", "cc"))


def _compile(source: Path, program: Path) -> None:
    words = compiler()
    needs_openssl = source.stem.startswith(TLS_PROGRAMS)
    # Compile into another file first, so that an interrupted compilation does not look finished.
    fresh = program.with_name(f"{program.name}.{os.getpid()}")
    libraries = OPENSSL if needs_openssl else ()
    if program == HEAP:
        libraries = ("-shared", "-fPIC")
    command = [*words, *FLAGS, "-o", str(fresh), str(source), *libraries]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise BenchError(f"no C compiler: {words[0]!r} not found; install one or set CC") from error
    if done.returncode != 0:
        hint = ". It needs OpenSSL 3 for C (Debian: libssl-dev; Fedora: openssl-devel)" if needs_openssl else ""
        raise BenchError(f"{words[0]} could not compile {source.name}{hint}:\n{done.stderr.strip()}")
    fresh.replace(program)
