"""The guide: each Python block in it is a whole program, and runs; each public name is in the reference.

A block before a `console` block is a server on port 8000. The test moves it to a free port, and runs the commands of
the console, which must have the output that the page shows.
"""

from __future__ import annotations

import re
import signal
import socket
from pathlib import Path

import pytest

import pollers
import socket2
import socket2.debug

from .interop.peers import LIMIT_S, ROOT, Program, connect, python, receive_all

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]

_BLOCK = re.compile(r"^```python\n(?P<code>.*?)^```\n(?:\n```console\n(?P<console>.*?)^```\n)?", re.M | re.S)
_COMMAND = re.compile(r"\$ printf '(?P<request>.*)' \| nc -N 127\.0\.0\.1 8000\n(?P<answer>(?:(?!\$ ).*\n)*)")

# Blocks that are not programs to run: output, and commands for the pages. Python under another name would not run.
_FENCES = {"python", "console", "toml", "{eval-rst}", "{toctree}"}
_DIRECTIVES = ("{literalinclude} ", "{drawn} ")

# What programs without a console must print. All others print nothing on stderr.
PRINTS = {
    "debug.md-1": r"thread 'main' has been running for \d+ ms and blocks the loop; it is here:\n"
    r".*time\.sleep\(0\.3\)",
    "debug.md-2": r"(?m)^worker +waiting .* sleep of 10 s .* in 10 s .*"
    r"^  worker .*^thread 'worker', waiting, .* started by 'main'\n",
    "debug.md-3": r"sent 18 bytes\n +0000  47 45 54 .*received 19 bytes\n",
    "logging.md-1": r"^ERROR socket2\.thread: exception in thread 'worker', .*\nTraceback .*ValueError: nobody joins",
}


def blocks() -> dict[str, re.Match[str]]:
    return {
        f"{page.name}-{number}": block
        for page in PAGES
        for number, block in enumerate(_BLOCK.finditer(page.read_text()), 1)
    }


BLOCKS = blocks()


@pytest.mark.parametrize("name", BLOCKS)
def test_a_program_of_the_guide(name: str, tmp_path: Path) -> None:
    code, console = BLOCKS[name]["code"], BLOCKS[name]["console"]
    path = tmp_path / "program.py"
    path.write_text(code if console is None else code.replace("8000", "0"))
    with python(path, PYTHONUNBUFFERED="1", SOCKET2_DEBUG_DIR=str(tmp_path / "debug")) as program:
        if console is not None:
            talk(program, console)
            return
        assert program.wait() == 0, program.stderr().decode()
        if name in PRINTS:
            said = (program.stdout() + program.stderr()).decode()
            assert re.search(PRINTS[name], said, re.S), said
        else:
            assert program.stderr() == b""


def shown(answer: str) -> str:
    """Return the answer with the lines of a page, and all dates of HTTP alike."""
    return re.sub(r"(?m)^date: .*$", "date: now", answer.replace("\r\n", "\n"))


def talk(server: Program, console: str) -> None:
    """Run the commands. Then Ctrl-C ends the server."""
    port = server.port(r"127\.0\.0\.1\D+(\d+)")
    commands = list(_COMMAND.finditer(console))
    assert "".join(command[0] for command in commands) == console
    for command in commands:
        with connect("127.0.0.1", port) as client:
            client.sendall(command["request"].replace(r"\n", "\n").replace(r"\r", "\r").encode())
            client.shutdown(socket.SHUT_WR)
            assert shown(receive_all(client).decode()) == shown(command["answer"])
    server.send_signal(signal.SIGINT)
    status, said = server.wait(LIMIT_S), server.stderr()
    assert (status, said) == (0, b"") or said.endswith(b"\nKeyboardInterrupt\n")


def test_every_program_has_a_name_of_its_own() -> None:
    assert len(BLOCKS) == sum(len(_BLOCK.findall(page.read_text())) for page in PAGES)
    assert PRINTS.keys() <= BLOCKS.keys()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_no_program_is_overlooked(page: Path) -> None:
    text = page.read_text()
    fences = re.findall(r"^ *(?:```|~~~)(.*)$", text, re.M)
    included = {fence.split()[1] for fence in fences if fence.startswith("{literalinclude} ")}
    assert all((page.parent / path).resolve().parent.parent == ROOT / "examples" for path in included)  # tested there
    assert {fence for fence in fences[::2] if not fence.startswith(_DIRECTIVES)} <= _FENCES
    assert set(fences[1::2]) <= {""}
    matched = list(_BLOCK.finditer(text))
    assert fences.count("python") == len(matched)
    assert fences.count("console") == sum(block["console"] is not None for block in matched)


def test_every_public_name_is_in_the_reference() -> None:
    reference = "".join(page.read_text() for page in (ROOT / "docs" / "reference").glob("*.md"))
    told = re.findall(r"^\.\. (?:auto|py:)\w+:: ([\w.]+)", reference, re.M)
    assert len(told) == len(set(told))
    public = {f"{module.__name__}.{name}" for module in (socket2, socket2.debug, pollers) for name in module.__all__}
    # Documented under another name:
    twice = {"pollers.Busy", "pollers.Cancelled", "pollers.Closed", "pollers.bytes_sent", "socket2.Operation"}
    assert public - set(told) == twice | {"socket2.__version__"}


INTERNAL = "For the other rooms of socket2."


def test_the_reference_leaves_out_methods_that_are_for_other_rooms_only() -> None:
    reference = "".join(page.read_text() for page in (ROOT / "docs" / "reference").glob("*.md"))
    left_out = {
        f"{name}.{method}"
        for name, options in re.findall(r"^\.\. autoclass:: socket2\.(\w+)(?:\(\))?\n((?: +:.*\n)*)", reference, re.M)
        for methods in re.findall(r":exclude-members: (.*)", options)
        for method in methods.split(", ")
    }
    # A method with overloads is left out of the members, and told with a shorter signature.
    left_out -= {
        f"{cls}.{method}"
        for cls, members in re.findall(r"^\.\. autoclass:: socket2\.(\w+)\n((?:(?: .*)?\n)*)", reference, re.M)
        for method in re.findall(r"^   \.\. automethod:: (\w+)", members, re.M)
    }
    internal = {
        f"{name}.{method}"
        for name in socket2.__all__
        if isinstance(cls := getattr(socket2, name), type)
        for method, value in vars(cls).items()
        if INTERNAL in (getattr(value, "__doc__", None) or "")
    }
    assert internal
    assert left_out == internal
