"""The same scenarios on Node's net and on ours must have the same events, in the same order, with the same codes.

Deliberate differences are listed, with the reason that docs/net.md gives.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import select
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import socket2
from socket2.threads import thread

from .alike.papers import write_papers
from .alike.stage import Stage
from .peers import LIMIT_S, needs

HERE = Path(__file__).with_name("alike")
OURS = HERE / "deliberate.json"  # the events that come instead
TOPICS = ("connecting", "ends", "flow", "writing", "servers", "rules", "lives", "secure", "certified", "shaking")

PAGES = ("net.md", "net-tls.md")

# Topics whose scenarios need certificates.
WITH_PAPERS = ("secure", "certified", "shaking")

# Topics with more than one Python module.
MORE_OF = {
    "connecting": ("connecting_in_vain",),
    "ends": ("ends_by_others",),
    "flow": ("flow_in_pipes",),
    "servers": ("servers_at_paths",),
    "secure": ("secure_flow",),
}

Trace = dict[str, list[Any]]

TURN = "A callback comes in a later turn of the event loop, not among the listeners of an event"
LATE = "After destroy(), the only events are 'error' and 'close'"
LAST = "'close' comes last, after all callbacks"
UNSENT = "The callback of a write that was not sent gets the error"
ALWAYS = "Every callback is called once"
TRUE = "'close' reports whether there was an 'error', even without a connection"
ABORTED = "A socket with an aborted signal does not connect"
KEPT = "'data' is not lost without a listener"
ONE_CLOSE = "A server emits 'close' once for each listen()"
AT_ONCE = "A server listens at once if there is no name to look up"
REPORTED = (
    "An exception in a listener ends its connection, not the process, and the other listeners still get the event"
)
IN_TIME = "A certificate that is not accepted ends the handshake"
TRUE_OF_TLS = "'close' reports whether there was an 'error'"
NO_PROTOCOL = "Without a common protocol the connection has none"
AFTER_ALL = "end() waits for the handshake"
QUEUED = "What is written before connect() is queued, and so is the end"
PATHS = "The address of a UNIX socket is its path, and has no port"

DELIBERATE = {
    "connecting": {
        "lookup_gives_nothing": "Node has an exception of its own in it",
        "lookup_never_answers": "A running lookup keeps the loop alive",
        "refused": LAST,
        "aborted_before": ABORTED,
        "aborted_before_by_options": ABORTED,
        "aborted_on_the_way": LAST,
        "aborted_when_connected": LATE,
        "destroyed_on_the_way": LAST,
        "destroyed_on_the_way_by_an_error": LAST,
        "destroyed_in_an_attempt": "Node has an exception of its own in it",
        "destroyed_in_connect": LATE,
        "written_before": TURN,
        "written_without_connect": QUEUED,
        "ended_without_connect": QUEUED,
    },
    "ends": {
        "ended_after_finish": "A second end() is not an error",
        "ended_after_close": "A second end() is not an error",
        "ended_after_destroy": ALWAYS,
        "destroyed_with_much_to_send": UNSENT,
        "destroyed_by_an_error_with_much_to_send": UNSENT,
        "written_after_end": "A write after end() does not stop earlier data from being sent",
        "reset_before_there_is_a_connection": LATE,
        "reset_without_a_connection": TRUE,
        "names_after_the_end": "A socket keeps its addresses until 'close'",
    },
    "flow": {
        "paused_in_data": "A paused socket emits no 'end'",
        "a_listener_is_removed": KEPT,
        "listening_once": KEPT,
        "encoding_ucs2": "An incomplete character at the end becomes U+FFFD",
        "encoding_utf16le": "An incomplete character at the end becomes U+FFFD",
        "unpiped": "unpipe() does not pause: " + KEPT,
    },
    "writing": {
        "written_wrongly": "None is as invalid as any other value that is neither bytes nor text",
    },
    "servers": {
        "listening": AT_ONCE,
        "listening_twice": AT_ONCE,
        "closed_before_listening": AT_ONCE,
        "in_use_and_closed_at_once": AT_ONCE,
        "closed_twice": ONE_CLOSE,
        "closed_once_more_when_closed": ONE_CLOSE,
        "no_descriptor": "Errors are the system's own",
        "a_path": PATHS,
        "a_path_in_use": PATHS,
        "a_path_that_nobody_listens_at": PATHS,
        "a_path_nowhere": "Errors are the system's own",
        "raised_in_connection": REPORTED,
        "raised_in_data": REPORTED,
        "raised_in_close": REPORTED,
        "rejected_in_data": REPORTED,
    },
    "rules": {},
    "secure": {"destroyed_in_connect": LATE},
    "certified": {
        "no_common_protocol": NO_PROTOCOL,
        "a_client_without_a_certificate": TRUE_OF_TLS,
        "a_client_with_a_strange_certificate": IN_TIME,
    },
    "shaking": {"ended_before_the_handshake": AFTER_ALL, "over_a_socket_that_is_refused": TRUE_OF_TLS},
    "lives": {"destroyed_soon_before_it_is_connected": TURN},
}

# Differences that are as old as this major version of Node. Older versions do what we do.
SINCE = {"ended_without_connect": 21}


def modules(topic: str) -> Iterator[Any]:
    for name in (topic, *MORE_OF.get(topic, ())):
        yield importlib.import_module(f"{__package__}.alike.{name}")


def scenarios() -> list[tuple[str, str]]:
    """Return topic and name of each scenario: a function of a Python module, or an entry of its table MORE."""
    found = []
    for topic in TOPICS:
        for module in modules(topic):
            text = Path(module.__file__).read_text()
            names = re.findall(r"^def ([a-z]\w*)\(stage: Stage\) -> None:", text, re.MULTILINE)
            found += [(topic, name) for name in [*names, *getattr(module, "MORE", ())]]
    return found


def scenario(topic: str, name: str) -> Callable[[Stage], None]:
    for module in modules(topic):
        found: Callable[[Stage], None] | None = getattr(module, name, None) or getattr(module, "MORE", {}).get(name)
        if found is not None:
            return found
    raise KeyError(name)


def ours(topic: str, name: str, directory: Path, slowness: int, monkeypatch: pytest.MonkeyPatch) -> Trace:
    stage = Stage(str(directory), slowness)
    monkeypatch.setattr(thread, "crashhook", lambda thread, error: stage.say("process", "uncaught", error))

    async def main() -> None:
        scenario(topic, name)(stage)

    socket2.run(main)
    assert socket2.start(LIMIT_S), stage.told()
    stage.clean_up()
    return stage.told()


class Node:
    """A process of Node that runs one scenario after another. A scenario that hangs ends it."""

    def __init__(self, path: str) -> None:
        self._command = [path, str(HERE / "stage.js")]
        self._begin()

    def _begin(self) -> None:
        self._process = subprocess.Popen(
            self._command,
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "NODE_OPTIONS": ""},
        )
        self.major_version = int(self._line().split(b".")[0])

    def run(self, topic: str, name: str, directory: Path, slowness: int) -> Trace:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([name, f"{topic}.js", str(directory), slowness]).encode() + b"\n")
        trace: Trace = json.loads(self._line())
        if trace.get("process") and trace["process"][-1] == ["hangs"]:
            self.end()
            self._begin()
        return trace

    def _line(self) -> bytes:
        assert self._process.stdout is not None
        line = b""
        while not line.endswith(b"\n"):
            assert select.select([self._process.stdout], [], [], LIMIT_S)[0], "Node does not answer"
            part = os.read(self._process.stdout.fileno(), 1 << 16)
            assert part, f"Node has ended: {line!r}"
            line += part
        return line

    def end(self) -> None:
        with self._process:
            self._process.kill()


@pytest.fixture(scope="module")  # tests of other modules must not find its process among their children
def node() -> Iterator[Node]:
    process = Node(needs("node"))
    yield process
    process.end()


@pytest.fixture(scope="session")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with certificates."""
    folder = tmp_path_factory.mktemp("papers")
    write_papers(folder)
    return folder


@pytest.mark.parametrize(("topic", "name"), scenarios())
def test_ours_is_as_nodes(
    topic: str, name: str, node: Node, tmp_path: Path, papers: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    differs = name in DELIBERATE[topic] and node.major_version >= SINCE.get(name, 0)
    # A pause of a scenario can be too short on a busy machine. Then longer ones give the right events.
    for slowness in 1, 5, 25:
        folder = tmp_path / str(slowness)
        for whose in "ours", "node":
            (folder / whose).mkdir(parents=True)
            if topic in WITH_PAPERS:
                shutil.copytree(papers, folder / whose, dirs_exist_ok=True)
        told = ours(topic, name, folder / "ours", slowness, monkeypatch)
        by_node = node.run(topic, name, folder / "node", slowness)
        expected = json.loads(OURS.read_text())[topic][name] if differs else by_node
        if told == expected and (told != by_node or not differs):
            break
    assert told == expected
    assert told != by_node or not differs, "no longer different: it need not be listed"


def test_every_scenario_is_there_twice() -> None:
    path = needs("node")
    for topic in TOPICS:
        show = f"console.log(Object.keys(require({json.dumps(str(HERE / topic))})).join(' '))"
        there = subprocess.run([path, "-e", show], capture_output=True, text=True, timeout=LIMIT_S, check=True)
        here = {name for of, name in scenarios() if of == topic}
        assert here == set(there.stdout.split())
        assert DELIBERATE[topic].keys() <= here


def test_the_page_gives_the_reasons() -> None:
    page = " ".join(" ".join((HERE.parents[2] / "docs" / name).read_text() for name in PAGES).split())
    reasons = {reason for listed in DELIBERATE.values() for reason in listed.values()}
    assert not [reason for reason in reasons if reason not in page and not reason.startswith("Node has")]
