"""Each file is in its room, and imports none that comes after it.

Every import goes down, even for a type checker or a rare case, so there are no circles. rooms.py has the order.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Mapping

import pytest

from .interop.peers import ROOT
from .rooms import (
    ORDER,
    PACKAGES,
    PATHS,
    ROOMS,
    imported_by,
    module,
    named_at_run_time,
    named_by_texts,
    package_of,
    picture,
    place,
    private_attributes,
    room_of,
    sources,
    taken_by_c,
    tree_of,
)

ENDINGS = ("", "s", "es", "er", "ers", "ed", "ing", "ings", "ion", "ions", "ship", "set", "y", "e")

OURS = ("pollers", "pytest_socket2", "socket2", "tests", "bench", "examples")

# The modules that find others by a text, because the system or the build decides whether these exist.
MAY_NAME = {
    "pollers": ["importlib.import_module"] * 4,
    "pollers.once": ["importlib.import_module"],
    "pollers.windows.winsock": ["importlib.import_module"],
    "socket2": ["_sys.modules"],  # a module that has moved has its old name, too
    "socket2.http.hosting.loading": ["importlib.import_module"],  # an application of the user
    "socket2.servers.supervisor": ["sys.modules"] * 2,  # only if debugging is loaded, which is a room below
    "socket2.threads.native": ["importlib.import_module"],
    "socket2.threads.sniffed": ["sys.modules"],  # only if somebody has imported sniffio
}


def test_every_module_has_its_place() -> None:
    assert sorted(ORDER) == sorted(PATHS)


def test_every_folder_is_a_room() -> None:
    folders = {module(path) for path in sources() if path.name == "__init__.py"}
    assert folders == {room_of(title) for title in ROOMS}


def above(name: str, tree: ast.Module) -> set[str]:
    """Return what a module imports although it is not below it."""
    below = ORDER[: ORDER.index(name)]
    known = {known for known, _ in imported_by(tree, package_of(PATHS[name])) if known.split(".")[0] in OURS}
    room = ".".join(package_of(PATHS[name]))
    named = {text for text in named_by_texts(tree) if not f"{text}.".startswith(f"{room}.")}
    return (known | named) - set(below)


@pytest.mark.parametrize("name", ORDER)
def test_imports_go_down_only(name: str) -> None:
    assert not above(name, tree_of(PATHS[name]))


@pytest.mark.parametrize("form", ["{}", "def late():\n    {}", "if TYPE_CHECKING:\n    {}", "with late:\n    {}"])
@pytest.mark.parametrize(
    "line",
    [
        "from ..servers.server import Server",
        "from ..servers import server",
        "from ..servers import server as below",
        "from ..servers import anything",
        "from .. import Server",
        "from .. import servers",
        "from ..debug import _enable",
        "from .endpoint import connect",
        "import socket2.servers.server as below",
        "import socket2.servers",
        "import socket2",
        "import tests.machine",
        "is_it = handler.__module__ == 'socket2.servers.server'",
    ],
)
def test_an_import_that_goes_up_is_seen(line: str, form: str) -> None:
    assert above("socket2.sockets.tcp", ast.parse(form.format(line)))


def circles(known: Mapping[str, set[str]]) -> list[str]:
    """Return the modules that import themselves, directly or through others."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            new = known.get(waiting.pop(), set()) - seen
            seen |= new
            waiting += new
        return seen

    return [name for name in known if name in reached(name)]


def test_no_file_anywhere_imports_itself_through_others() -> None:
    """Includes the tests, the benchmarks and the examples, which are in no room."""
    paths = {module(path): path for folder in OURS for path in (ROOT / folder).rglob("*.py")}
    known = {
        name: {f"{source}.{taken}" if f"{source}.{taken}" in paths else source for source, taken in found}
        for name, path in paths.items()
        if (found := list(imported_by(tree_of(path), package_of(path))))
    }
    assert not circles(known)


def test_a_circle_is_seen() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == ["a", "b", "c"]
    assert circles({"a": {"a"}}) == ["a"]


def test_modules_that_find_others_by_a_text_are_known() -> None:
    found = {name: named_at_run_time(tree_of(PATHS[name])) for name in ORDER}
    assert {name: ways for name, ways in found.items() if ways} == MAY_NAME


@pytest.mark.parametrize(
    "line",
    [
        "importlib.import_module('socket2.servers')",
        "from importlib import import_module as load",
        "__import__('socket2.servers')",
        "sys.modules[__package__]",
        "from sys import modules",
        "getattr(builtins, '__import__')('socket2.servers')",
    ],
)
def test_a_module_that_is_found_by_a_text_is_seen(line: str) -> None:
    assert named_at_run_time(ast.parse(line))


def test_the_poller_in_c_takes_from_the_contract_only() -> None:
    assert taken_by_c()
    assert taken_by_c() <= {place("pollers", name) for name in ROOMS["pollers"].split()}


def private(name: str, tree: ast.Module) -> list[str]:
    """Return the private names that a module takes from another room, by an import or as an attribute."""
    package = package_of(PATHS[name])
    room = ".".join(package)
    return [
        f"{known}.{taken}"
        for known, taken in [*imported_by(tree, package), *private_attributes(tree, package)]
        if known.split(".")[0] in OURS
        if any(word.startswith("_") and not word.endswith("__") for word in [*known.split("."), taken])
        if known.rpartition(".")[0] != room and known != room
    ]


@pytest.mark.parametrize("name", ORDER)
def test_what_is_private_in_a_room_is_known_there_only(name: str) -> None:
    assert not private(name, tree_of(PATHS[name]))


@pytest.mark.parametrize(
    "text",
    [
        "from ..threads.joining import _begin",
        "from ..threads.joining import _begin as begin",
        "from ..threads import _hidden",
        "from ..threads._hidden import shown",
        "from ..threads import joining\njoining._begin",
        "from ..threads import joining as other\ndef late(): other._begin()",
        "import socket2.threads.joining\nsocket2.threads.joining._begin",
        "import socket2.threads.joining as other\nother._begin",
        "from pollers.readiness.handle import _hidden",
    ],
)
def test_what_is_taken_although_it_is_private_is_seen(text: str) -> None:
    assert private("socket2.sockets.tcp", ast.parse(text))
    assert not private("socket2.sockets.tcp", ast.parse(text.replace("_", "")))


def alike(one: str, other: str) -> bool:
    """Whether two names differ by an ending only."""
    return bool({one.removesuffix(ending) for ending in ENDINGS} & {other.removesuffix(ending) for ending in ENDINGS})


@pytest.mark.parametrize("tree", [PACKAGES, ("bench",), ("examples",), ("tests",)], ids="-".join)
def test_no_two_modules_differ_by_an_ending_only(tree: tuple[str, ...]) -> None:
    """This includes a module in Python and a part in C."""
    paths = [path for folder in tree for path in (ROOT / folder).rglob("*.*") if path.suffix in (".py", ".c", ".h")]
    names = sorted({path.stem for path in paths})
    assert not [(one, other) for one, other in itertools.combinations(names, 2) if alike(one, other)]


def test_names_that_differ_by_an_ending_are_seen() -> None:
    for one, other in [("foo", "fooing"), ("wait", "waits"), ("waits", "waiting"), ("member", "membership")]:
        assert alike(one, other)
    assert not alike("thread", "threshold")


@pytest.mark.parametrize("room", [title for title in ROOMS if "(" not in title])
def test_every_room_says_what_it_knows(room: str) -> None:
    text = ast.get_docstring(tree_of(ROOT / room.replace(".", "/") / "__init__.py"))
    assert text
    assert len(text.splitlines()) >= 3
    if room != "socket2":  # it holds names only
        assert re.search(r"\bknows\b", text)
        assert re.search(r"\b(must|does) not know\b|\bknows (no|nothing)\b|\bonly\b", text)
        assert re.search(r"\b[Rr]ead `|\border to read\b", text)


@pytest.mark.parametrize(
    "name", [name for name in ORDER if PATHS[name].stem not in ("__init__", "__main__", "version")]
)
def test_every_module_is_on_the_map(name: str) -> None:
    """The map is CONTRIBUTING.md and what the room says of itself."""
    path = PATHS[name]
    page = path.parent / "README.md"
    texts = [ast.get_docstring(tree_of(path.parent / "__init__.py")) or "", (ROOT / "CONTRIBUTING.md").read_text()]
    texts += [page.read_text()] if page.exists() else []
    assert re.search(rf"`(\w+/)*{path.stem}(\.py)?`", "".join(texts))


def test_no_file_in_c_is_too_long() -> None:
    texts = [path for folder in OURS for path in (ROOT / folder).rglob("*.[ch]")]
    assert texts
    assert not [path.name for path in texts if len(path.read_text().splitlines()) > 800]


def test_the_picture_of_the_rooms_is_that_of_the_imports() -> None:
    """`python -m tests.rooms` makes a new picture."""
    assert f"\n{picture()}\n" in (ROOT / "CONTRIBUTING.md").read_text()
