"""The parts in C: which part includes which, and that none has copied another.

One list orders the folders, and one the parts of each. A part is a header, a source or both. Includes only go down.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .interop.peers import ROOT

# From the ground up.
PARTS = {
    "pollers": "cpython standin forgotten once",
    "pollers/native": (
        "state engine handle operation sockaddr sock reasons ways closing attempts parking steps calls faces"
        " poller finished attached epoll module"
    ),
    "socket2/threads": "slots delegation limit patience stepping",
    "socket2/sockets": "shortcut",
    "socket2/tls": "records quick",
    "socket2/http/messages": "state syntax fields heads outgoing serverside",
    "socket2/http/serving": "answering usually",
    "socket2/http/hosting": "isolated module",
}

ORDER = [f"{folder}/{name}" for folder, names in PARTS.items() for name in names.split()]

OPENING_LINES_MAX = 10

# This many equal lines in a row are a copy. Lines that every C file has do not count.
COPY_LINES = 6
TRIVIAL = re.compile(
    r"""[{}();,\s]*
    |\#.*
    |/?\*.*
    |break;
    |default:
    |\}?\ else\ \{
    |return\ .*;
    |static\ (int|void|PyObject\ \*)
    |\{0,\ NULL\},
    |\{NULL,\ .*\},
    """,
    re.VERBOSE,
)


def files() -> list[Path]:
    return sorted(path for folder in ("pollers", "socket2") for path in (ROOT / folder).rglob("*.[ch]"))


def part(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").as_posix()


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def included(path: Path) -> list[Path]:
    """Return our headers that a file includes."""
    named = re.findall(r'^ *# *include *"(.+)"', path.read_text(), re.MULTILINE)
    return [(path.parent / header).resolve() for header in named]


def upward(path: Path) -> list[str]:
    """Return the headers that a file includes from parts that are not below it."""
    here = ORDER.index(part(path))
    return [
        name(known) for known in included(path) if part(known) not in ORDER[:here] and known != path.with_suffix(".h")
    ]


def circles(known: dict[str, set[str]]) -> list[str]:
    """Return the parts that include themselves, directly or through others."""

    def reached(start: str) -> set[str]:
        seen: set[str] = set()
        waiting = [start]
        while waiting:
            new = known.get(waiting.pop(), set()) - seen
            seen |= new
            waiting += new
        return seen

    return [one for one in known if one in reached(one)]


def lines(text: str) -> list[str]:
    """Return the lines of a text, without comments and without the lines that every C file has."""
    code = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
    spaced = (" ".join(line.split()) for line in code.splitlines())
    return [line for line in spaced if not TRIVIAL.fullmatch(line)]


def runs(text: str) -> set[tuple[str, ...]]:
    said = lines(text)
    return {tuple(said[start : start + COPY_LINES]) for start in range(len(said) - COPY_LINES + 1)}


def opening(path: Path) -> str:
    text = path.read_text()
    assert text.startswith("/* ")
    return text[: text.index("*/")]


def test_every_part_has_its_place() -> None:
    assert sorted(ORDER) == sorted({part(path) for path in files()})


@pytest.mark.parametrize("path", files(), ids=name)
def test_includes_go_down_only(path: Path) -> None:
    assert not [header for header in included(path) if not header.is_file()]
    systems = re.findall(r"^ *# *include *<(.+)>", path.read_text(), re.MULTILINE)
    assert not [header for header in systems if (path.parent / header).exists() or ".." in header]
    assert not upward(path)


def test_there_is_no_circle_of_headers_nor_of_parts() -> None:
    headers = {name(path): {name(known) for known in included(path)} for path in files() if path.suffix == ".h"}
    parts: dict[str, set[str]] = {}
    for path in files():
        parts.setdefault(part(path), set()).update({part(known) for known in included(path)} - {part(path)})
    assert not circles(headers)
    assert not circles(parts)


def test_a_circle_is_seen() -> None:
    assert circles({"handle": {"poller"}, "poller": {"state", "attempts"}, "attempts": {"handle"}, "state": set()}) == [
        "handle",
        "poller",
        "attempts",
    ]


@pytest.mark.parametrize("path", [path for path in files() if path.with_suffix(".h").exists()], ids=name)
def test_a_source_begins_with_its_own_header(path: Path) -> None:
    """So each header includes all that it needs, and only the header declares what the part offers."""
    if path.suffix == ".c":
        assert included(path)[0] == path.with_suffix(".h")
        assert not re.search(r"^extern ", path.read_text(), re.MULTILINE)
    else:
        assert re.search(r"^#ifndef (\w+_H)\n#define \1\n", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", files(), ids=name)
def test_every_file_opens_with_what_it_knows(path: Path) -> None:
    text = opening(path)
    assert len(text.splitlines()) <= OPENING_LINES_MAX
    if path.suffix == ".c":
        assert re.search(r"\b[Kk]nows?\b", text)
        assert re.search(r"\b[Mm]ust not know\b", text)


def test_no_lines_are_copied_from_file_to_file() -> None:
    seen: dict[tuple[str, ...], str] = {}
    copies: set[tuple[str, str, str]] = set()
    for path in files():
        for run in runs(path.read_text()):
            if run in seen:
                copies.add((seen[run], name(path), run[0]))
            seen.setdefault(run, name(path))
    assert not copies


def test_a_copy_is_seen_however_it_is_indented_and_commented_on() -> None:
    text = "".join(f"    first({number});\n\n" for number in range(COPY_LINES))
    other = "other();\n" + text.replace("    ", "\t").replace(";", "; /* a */\n/* b\n */") + "    }\n}\n"
    assert runs(text) & runs(other)
    assert not runs(text) & runs(text.replace("first(3)", "second(3)"))
