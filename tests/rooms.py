"""The rooms, their files, and which of them import which. `python -m tests.rooms` draws a picture of this."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from .interop.peers import ROOT

# From the ground up. `pollers` and `socket2` come twice: as the part under the others, and as the part on top of all.
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


def room_of(title: str) -> str:
    return title.partition(" ")[0]


def place(title: str, name: str) -> str:
    return room_of(title) if name == "__init__" else f"{room_of(title)}.{name}"


# By full names of modules. An __init__ that only describes its room has none.
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
    """Return each module that one of ours imports for any purpose, and the name that it takes from it."""
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


GROUND = "the contract"  # the other part named `pollers`: the one that every poller stands on
NATIVE = "pollers/native"  # it has no Python file
WIDTH = 96


def shown(title: str) -> str:
    """Return a room's name in the picture, or '' for socket2's version, which is not drawn: any room may import it."""
    if title in ("pollers", "socket2"):
        return GROUND if title == "pollers" else ""
    return room_of(title).removesuffix(".ltn12").removeprefix("socket2.").replace(".", "/")


def stands_on() -> dict[str, set[str]]:
    """Return for each room in the picture the rooms that its files import from."""
    home = {place(title, name): shown(title) for title, names in ROOMS.items() for name in names.split()}
    known: dict[str, set[str]] = {room: set() for room in home.values() if room}
    for name, room in home.items():
        if room:
            known[room] |= {home[other] for other, _ in imported(PATHS[name]) if home.get(other)} - {room}
    known[NATIVE] = {GROUND}
    known["pollers"].add(NATIVE)
    for room in known:
        if "pollers" in known[room]:  # this includes its ground
            known[room].discard(GROUND)
    return known


def floors() -> list[list[str]]:
    """Return the floors from the ground up. Each room is one floor above the highest room that it stands on."""
    known = stands_on()
    floor: dict[str, int] = {}
    while len(floor) < len(known):
        for room, others in known.items():
            if room not in floor and others <= floor.keys():
                floor[room] = 1 + max((floor[other] for other in others), default=-1)
    return [[room for room in known if floor[room] == level] for level in range(1 + max(floor.values()))]


def box(room: str, on: list[str]) -> list[str]:
    text = " ".join(on)
    width = max(len(room) + 1, len(text))
    return [f"┌ {room} {'─' * (width - len(room))}┐", f"│ {text:{width}} │", f"└{'─' * (width + 2)}┘"]


def picture() -> str:
    """Return floors of boxes. Each box lists the rooms that the room at its top stands on."""
    known = stands_on()
    order = [room for level in floors() for room in level]
    lines = []
    for level in reversed(floors()):
        boxes = [box(room, [other for other in order if other in known[room]]) for room in level]
        lines += [" ".join(parts) for parts in zip(*boxes, strict=True)]
    assert max(map(len, lines)) <= WIDTH
    return "\n".join(f"    {line}" for line in lines)


if __name__ == "__main__":
    print(picture())
