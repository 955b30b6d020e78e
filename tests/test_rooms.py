"""A folder is a room: what is in which, and that no file knows one that comes after it.

One list orders the rooms, and one the files of each. Whatever an import is for, a type checker or a rare case, it goes
down. So there are no circles.
"""

from __future__ import annotations

import ast
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from .interop.peers import ROOT

# From the ground up. `pollers` and `socket2` come twice: what others stand on, and what stands on all.
ROOMS = {
    "pollers": "once unique unbound lengths lock operation credentials disconnect closing options",
    "pollers.readiness": (
        "probe interface gone attempts winattempts passing handle engine sharing epoll kqueue select"
    ),
    "pollers.windows": "winsock overlapped winhandles iocp",
    "pollers.checked": "watched checking",
    "pollers (whole)": "decorator __init__",
    "socket2": "version",
    "socket2.threads": (
        "native journal lock timers coroutines chain ctrl_c cancellation crew resolver scheduler wait thread stepping"
        " member joining loop deadline sleeping jobs sync group osthreads"
    ),
    "socket2.sockets": "names address socket tcp udp eyeballs endpoint descriptors",
    "socket2.streams": "buffer claim transport stream",
    "socket2.debug": "stacks history snapshot listing watchdog inquiry tracing __init__",
    "socket2.servers": "signals listeners accepting connection server program inheritance supervisor workers",
    "socket2.net": (
        "failures arguments ip encodings emitter abort connection callbacks limit piping receiving readable"
        " writable wishes address adoption dialing socket opening accepting server channel cluster __init__"
    ),
    "socket2.luasocket": (
        "calls messages timeouts options patterns lookup objects bytestream datagrams tcp udp unix shortcuts dns clock"
        " results select modes ends"
    ),
    "socket2.luasocket.ltn12": "filter source sink pump __init__",
    "socket2.luasocket (whole)": "__init__",
    "socket2 (whole)": "__init__ __main__",
}

ENDINGS = ("", "s", "es", "er", "ers", "ed", "ing", "ings", "ion", "ions", "ship", "set", "y", "e")


def room_of(title: str) -> str:
    return title.partition(" ")[0]


def place(title: str, name: str) -> str:
    return room_of(title) if name == "__init__" else f"{room_of(title)}.{name}"


# By the full names of modules; a room's __init__ that says only what the room is has none.
ORDER = [place(title, name) for title, names in ROOMS.items() for name in names.split()]


def sources() -> list[Path]:
    return sorted(path for package in ("pollers", "socket2") for path in (ROOT / package).rglob("*.py"))


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_bytes(), path)


def says_only_what_it_is(path: Path) -> bool:
    return path.name == "__init__.py" and len(tree_of(path).body) <= 1


PATHS = {module(path): path for path in sources() if not says_only_what_it_is(path)}


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """Each module that one of ours imports, whatever for, and the name that it takes from there."""
    package = path.relative_to(ROOT).parts[:-1]
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            source = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield (inner, "") if inner in PATHS else (source, alias.name)


def test_every_module_has_its_place() -> None:
    assert sorted(ORDER) == sorted(PATHS)


@pytest.mark.parametrize("name", ORDER)
def test_imports_go_down_only(name: str) -> None:
    below = set(ORDER[: ORDER.index(name)])
    assert {known for known, _ in imported(PATHS[name]) if known in PATHS} <= below


@pytest.mark.parametrize("name", ORDER)
def test_what_is_private_in_a_room_is_known_there_only(name: str) -> None:
    room = name.rpartition(".")[0] if PATHS[name].name != "__init__.py" else name
    private = [
        f"{known}.{taken}"
        for known, taken in imported(PATHS[name])
        if known.split(".")[0] in ("pollers", "socket2")
        if any(part.startswith("_") and not part.endswith("__") for part in [*known.split("."), taken])
        if known.rpartition(".")[0] != room and known != room
    ]
    assert not private


def test_no_two_modules_differ_by_an_ending_only() -> None:
    names = {path.stem for path in sources()}
    assert not [
        (one, other)
        for one, other in itertools.combinations(sorted(names), 2)
        if any(one.removesuffix(ending) == other for ending in ENDINGS)
        or {one.removesuffix(ending) for ending in ENDINGS} & {other.removesuffix(ending) for ending in ENDINGS}
    ]


@pytest.mark.parametrize("room", [title for title in ROOMS if "(" not in title])
def test_every_room_says_what_it_knows(room: str) -> None:
    text = ast.get_docstring(tree_of(ROOT / room.replace(".", "/") / "__init__.py"))
    assert text
    assert len(text.splitlines()) >= 3


def test_no_file_in_c_is_too_long() -> None:
    texts = [*(ROOT / "pollers").rglob("*.[ch]"), *(ROOT / "socket2").rglob("*.[ch]")]
    assert texts
    assert not [path.name for path in texts if len(path.read_text().splitlines()) > 800]
