"""Compare the constants in this repository with the systems' own headers, which PyPI's `ziglang` contains.

Nothing is run: a file of static assertions is compiled for each system. Run `python -m tests.kqueue.headers`, or
`make test-headers`, which installs ziglang first.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from pollers.readiness.kqueue import SO_NOSIGPIPE
from tests.kqueue_sim.abi import ABI, WIDTHS

TARGETS = {
    "freebsd": "x86_64-freebsd",
    "macos": "aarch64-macos",
    "netbsd": "x86_64-netbsd",
    "openbsd": "x86_64-openbsd",
}
NAMES = sorted({name for its in ABI.values() for name in its})

# The simulator's flavors; NetBSD has wider fields.
SIMULATED = ("freebsd", "macos")


def assertions(system: str) -> Iterator[str]:
    """Return the lines of a C file that compiles only if our numbers are the system's."""
    yield from ("#include <sys/types.h>", "#include <sys/socket.h>", "#include <sys/event.h>")
    for name in NAMES:
        if name in ABI[system]:
            number = ABI[system][name]
            yield f'_Static_assert((unsigned)({name}) == (unsigned)({number}), "{name} is not {number}");'
        else:
            yield f"#ifdef {name}\n#error {name} is there\n#endif"
    if system in SIMULATED:
        for field, bits in WIDTHS.items():
            yield f'_Static_assert(sizeof(((struct kevent *)0)->{field}) * 8 == {bits}, "{field} has not {bits} bits");'
    if system == "macos":
        yield f'_Static_assert(SO_NOSIGPIPE == {SO_NOSIGPIPE}, "SO_NOSIGPIPE is not {SO_NOSIGPIPE}");'
    else:
        yield "#ifndef MSG_NOSIGNAL\n#error MSG_NOSIGNAL is not there\n#endif"


def compiles(system: str, directory: Path) -> bool:
    source = directory / f"{system}.c"
    source.write_text("\n".join(assertions(system)) + "\n")
    cache = {"ZIG_GLOBAL_CACHE_DIR": str(directory), "ZIG_LOCAL_CACHE_DIR": str(directory)}
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", TARGETS[system], "-c", "-o", str(source) + ".o"]
    return subprocess.run([*compiler, str(source)], env=os.environ | cache, check=False).returncode == 0


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        wrong = [system for system in TARGETS if not compiles(system, Path(directory))]
    if wrong:
        sys.exit(f"the headers of {', '.join(wrong)} say otherwise")
    print(f"{len(NAMES)} names, as in the headers of {', '.join(TARGETS)}")


if __name__ == "__main__":
    main()
