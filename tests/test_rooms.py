"""Each file is in its room, and imports none that comes after it.

Every import goes down, even for a type checker or a rare case, so there are no circles. rooms.py has the order.
"""

from __future__ import annotations

import ast
import itertools

import pytest

from .interop.peers import ROOT
from .rooms import ORDER, PATHS, ROOMS, imported, picture, sources, tree_of

ENDINGS = ("", "s", "es", "er", "ers", "ed", "ing", "ings", "ion", "ions", "ship", "set", "y", "e")


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


def test_the_picture_of_the_rooms_is_that_of_the_imports() -> None:
    """`python -m tests.rooms` makes a new picture."""
    assert f"\n{picture()}\n" in (ROOT / "CONTRIBUTING.md").read_text()
