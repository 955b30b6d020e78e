"""The C programs: the baseline server and the load generator, compiled on first use.

Knows the C compiler. A program is rebuilt when any source in bench/c is newer, so nobody measures
an old one. The compiler is `$CC` or `cc`, the flags are fixed: a baseline with flags of one's own
is no baseline.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path

from bench.programs import BenchError

__all__ = ["BUILD", "build_all", "compiler_version"]

SOURCES = Path(__file__).resolve().parent / "c"
BUILD = SOURCES.parent / "build"
FLAGS = ("-std=gnu11", "-O2", "-pthread", "-Wall", "-Wextra")


def build_all() -> None:
    """Compile what is missing or older than a source, before anything is measured.

    Raises:
        BenchError: there is no C compiler, or it refuses.
    """
    BUILD.mkdir(exist_ok=True)
    newest = max(path.stat().st_mtime for path in SOURCES.iterdir())
    for source in sorted(SOURCES.glob("*.c")):
        program = BUILD / source.stem
        if not program.exists() or program.stat().st_mtime < newest:
            _compile(source, program)


def compiler_version() -> str:
    """What the compiler calls itself."""
    try:
        done = subprocess.run([*_compiler(), "--version"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "gone since the build"
    return done.stdout.partition("\n")[0]


def _compiler() -> list[str]:
    return shlex.split(os.environ.get("CC", "cc"))


def _compile(source: Path, program: Path) -> None:
    compiler = _compiler()
    # Under another name first: an interrupted compilation must not look finished.
    fresh = program.with_name(f"{program.name}.{os.getpid()}")
    command = [*compiler, *FLAGS, "-o", str(fresh), str(source)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        raise BenchError(f"no C compiler: {compiler[0]!r} not found; install one or set CC") from error
    if done.returncode != 0:
        raise BenchError(f"{compiler[0]} could not compile {source.name}:\n{done.stderr.strip()}")
    fresh.replace(program)
