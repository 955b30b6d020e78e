"""The rooms, their files, and which of them import which. `python -m tests.rooms` draws a picture of this."""

from __future__ import annotations

import ast
import functools
import gc
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]

# From the ground up. `pollers` and `socket2` come twice: as the part under the others, and as the part on top of all.
ROOMS = {
    "pollers": (
        "forgotten once unique unbound pairs closing paths probe lengths lock sigpipe file foreign nowait operation"
        " credentials disconnect control multicast options"
    ),
    "pollers.readiness": (
        "interface gone attempts winattempts messages oneshot handle engine sharing epoll kqueue select"
    ),
    "pollers.windows": "winsock overlapped winhandles iocp",
    "pollers.checked": "watched checking",
    "pollers.simulated": (
        "link faults surroundings description numeric ports inet transmission teardown threeway tcp datagrams udp unix"
        " unixstream unixdatagrams kinds options sock pairs poller host world loopback __init__"
    ),
    "pollers (whole)": "decorator __init__",
    "socket2": "version",
    "socket2.threads": (
        "native journal inventory"
        " lock inbox timers coroutines chain ctrl_c cancellation crew resolver mending scheduler wait"
        " thread outcome stepping sniffed member embedded joining exiting loop deadline scope sleeping jobs line turns"
        " block events"
        " semaphores mutexes capacity exchange sorting queues memory_channel roster group gathering osthreads milestone"
        " unbroken condition catching signals portal"
    ),
    "socket2.sockets": (
        "names hostnames address nameinfo setup ancillary binary socket paths tcp udp eyeballs endpoint descriptors"
    ),
    "socket2.streams": "buffer claim pieces transport stream",
    "socket2.tls": (
        "latch ciphertext wrapped identity failures engine lane carrier negotiated arguments layer pem reloading"
        " contexts development starttls endpoint"
    ),
    "socket2.files": "waitable fdstream standard disk",
    "socket2.processes": "reaping child capture",
    "socket2.guests": "crossing",
    "socket2.guests.asyncio": "selector writing transport loop __init__",
    "socket2.guests.trio": "present guest tasks __init__",
    "socket2.debug": "stacks history snapshot backlog facts listing watchdog inquiry tracing __init__",
    "socket2.servers": (
        "listeners passed accepting proxyheader connection handshaking networks behind server current draining renewal"
        " program inheritance staff supervisor workers"
    ),
    "socket2.metrics": "exposition figures colleagues __init__",
    "socket2.console": "asking table redraw rates screen top",
    "socket2.http.messages": (
        "bounds errors status dates compiled fields syntax llhttp target forwarded framing heads chunks incoming"
        " outgoing serverside clientside media codings preconditions ranges"
    ),
    "socket2.http.client": (
        "failures url body connection exchange socks5 proxies dialing pool decoding response cookies request redirects"
        " roundtrip client command"
    ),
    "socket2.http.websocket": (
        "closing deflate entropy codec wire keepalive leaving terms socket upgrade accepting opening"
    ),
    "socket2.http.serving": (
        "silence reading below exchange body representation request origin health accesslog tally conversation metrics"
        " program"
    ),
    "socket2.http.hosting": (
        "mount sending environ bridge replying wsgi connectionscope isolated otherloops cycle dialogue lifespan"
        " aioloop asgi loading"
    ),
    "socket2.http.gateway": (
        "hops lookout upstream balancing checkups sending relay transit reverse tunnels settings routes command"
    ),
    "socket2.http.files": "names beneath listing directory",
    "socket2.http": "command __init__",
    "socket2.net": (
        "failures arguments ip encodings emitter abort connection callbacks limit piping receiving readable"
        " writable lending wishes address adoption dialing socket opening accepting server channel cluster __init__"
    ),
    "socket2.net.tls": (
        "failures credentials identity certificates verdict handle arguments keylog terms peer socket client server"
        " __init__"
    ),
    "socket2.luasocket": (
        "calls messages timeouts options patterns lookup objects transfer bytestream datagrams tcp udp unix readymade"
        " dns clock results select modes ends"
    ),
    "socket2.luasocket.ssl": "reasons options x509 parameters channel connection __init__",
    "socket2.luasocket.ltn12": "filter source sink pump __init__",
    "socket2.luasocket (whole)": "__init__",
    "socket2.testing": "jumping overdue remains reports held ports script ownloop __init__",
    "socket2 (whole)": "__init__ __main__",
    "pytest_socket2": "ownership options running fixtures __init__",
}


PACKAGES = ("pollers", "pytest_socket2", "socket2")


def room_of(title: str) -> str:
    return title.partition(" ")[0]


def place(title: str, name: str) -> str:
    return room_of(title) if name == "__init__" else f"{room_of(title)}.{name}"


# By full names of modules. An __init__ that only describes its room has none.
ORDER = [place(title, name) for title, names in ROOMS.items() for name in names.split()]


def sources() -> list[Path]:
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@functools.cache
def tree_of(path: Path) -> ast.Module:
    """Return the syntax tree of a module."""
    gc.disable()  # it would look at millions of nodes again and again, and find no garbage
    try:
        return ast.parse(path.read_bytes(), path)
    finally:
        gc.enable()


def says_only_what_it_is(path: Path) -> bool:
    return path.name == "__init__.py" and len(tree_of(path).body) <= 1


PATHS = {module(path): path for path in sources() if not says_only_what_it_is(path)}


def imported(path: Path) -> Iterator[tuple[str, str]]:
    """Return each module that one of ours imports for any purpose, and the name that it takes from it."""
    yield from imported_by(tree_of(path), package_of(path))


def package_of(path: Path) -> tuple[str, ...]:
    return path.relative_to(ROOT).parts[:-1]


def imported_by(tree: ast.Module, package: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            source = source_of(node, package)
            for alias in node.names:
                inner = f"{source}.{alias.name}"
                yield (inner, "") if inner in PATHS else (source, alias.name)


def source_of(node: ast.ImportFrom, package: tuple[str, ...]) -> str:
    above = package[: len(package) - node.level + 1] if node.level else ()
    return ".".join([*above, *filter(None, [node.module])])


def named_at_run_time(tree: ast.Module) -> list[str]:
    """Return each expression that can find a module by a text. imported() does not see these."""
    ways = ("import_module", "__import__", "modules", "find_spec")
    return [
        ast.unparse(node)
        for node in ast.walk(tree)
        if (isinstance(node, ast.Attribute) and node.attr in ways)
        or (isinstance(node, ast.Name) and node.id in ways)
        or (isinstance(node, ast.Constant) and node.value in ways[:2])
        or (isinstance(node, ast.ImportFrom) and any(alias.name in ways for alias in node.names))
    ]


def named_by_texts(tree: ast.Module) -> set[str]:
    """Return the modules whose full names are texts in the code."""
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
    return {text for text in texts if "." in text and text in PATHS}


def private_attributes(tree: ast.Module, package: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Return the modules whose private attributes are used, as in `joining._begin`, and the names of these."""
    modules: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules |= {alias.asname or alias.name: alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = source_of(node, package)
            if source not in PATHS:  # a package with code exports names, and one may be that of a module
                modules |= {alias.asname or alias.name: f"{source}.{alias.name}" for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            module = modules.get(ast.unparse(node.value), "")
            if module in PATHS:
                yield module, node.attr


def taken_by_c() -> set[str]:
    """Return the modules that the poller in C takes objects from."""
    texts = [path.read_text() for path in (ROOT / NATIVE).glob("*.[ch]")]
    return {name for text in texts for name in re.findall(r'"(pollers\.[a-z.]+)", "', text)}


GROUND = "the contract"  # the other part named `pollers`: the one that every poller stands on
NATIVE = "pollers/native"  # it has no Python file
WIDTH = 116


def shown(title: str) -> str:
    """Return a room's name in the picture, or '' for socket2's version, which is not drawn: any room may import it."""
    if title in ("pollers", "socket2"):
        return GROUND if title == "pollers" else ""
    return room_of(title).removesuffix(".ltn12").removesuffix(".ssl").removeprefix("socket2.").replace(".", "/")


def stands_on() -> dict[str, set[str]]:
    """Return for each room in the picture the rooms that its files import from."""
    home = {place(title, name): shown(title) for title, names in ROOMS.items() for name in names.split()}
    known: dict[str, set[str]] = {room: set() for room in home.values() if room}
    for name, room in home.items():
        if room:
            known[room] |= {home[other] for other, _ in imported(PATHS[name]) if home.get(other)} - {room}
    known[NATIVE] = {home[name] for name in taken_by_c()}
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
        while boxes:  # a wide floor has several rows
            fit = [n for n in range(1, len(boxes) + 1) if len(" ".join(one[0] for one in boxes[:n])) <= WIDTH]
            row, boxes = boxes[: fit[-1]], boxes[fit[-1] :]
            lines += [" ".join(parts) for parts in zip(*row, strict=True)]
    assert max(map(len, lines)) <= WIDTH
    return "\n".join(f"    {line}" for line in lines)


if __name__ == "__main__":
    print(picture())
