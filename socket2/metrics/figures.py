"""The figures about this process: what its loops, servers, HTTP handlers and proxies count.

They say of themselves what they count, as they do for debugging: `threads/inventory.py`.
"""

from __future__ import annotations

import sys
from time import process_time
from typing import Any

from ..debug.facts import memory_bytes
from ..debug.snapshot import Snapshot, again
from ..threads.inventory import enrolled
from ..version import __version__
from .exposition import Exposition, Kind

_LOOPS: tuple[tuple[str, Kind, str], ...] = (
    ("os_threads", "gauge", "OS threads that are in the loop"),
    ("threads", "gauge", "Live coroutine threads"),
    ("ready", "gauge", "Threads that wait for their turn"),
    ("timers", "gauge", "Sleeps and deadlines in progress"),
    ("attached", "gauge", "Sockets that are attached to the poller"),
    ("parked", "gauge", "Operations that wait in the poller"),
    ("polls", "counter", "How often the kernel was asked for events"),
    ("events", "counter", "Events that the kernel has reported"),
    ("wakeups", "counter", "How often the loop was woken by another OS thread or a signal"),
)

_SERVERS: tuple[tuple[str, str, Kind, str], ...] = (
    ("connections", "connections", "gauge", "Open connections"),
    ("accepted", "connections_accepted", "counter", "Connections that were accepted"),
    ("refused", "connections_refused", "counter", "Connections that did not begin with a valid PROXY header"),
    ("cut", "connections_cut_off", "counter", "Connections that were cut off because the server stopped"),
)

_UPSTREAMS: tuple[tuple[str, str, Kind, str], ...] = (
    ("active", "requests_active", "gauge", "Requests that an upstream has now"),
    ("idle", "connections_idle", "gauge", "Unused connections to an upstream"),
    ("is_well", "is_well", "gauge", "1 if the health checks of an upstream succeed, or there are none"),
    ("is_out", "is_out", "gauge", "1 if an upstream gets no requests because it has failed"),
    ("served", "responses", "counter", "Responses of an upstream that were passed on"),
    ("failed", "failures", "counter", "Requests that an upstream has not answered"),
)


def figures() -> Exposition:
    """Return the figures about this process. Any OS thread may call this."""
    found = Exposition()
    found.add("socket2", "info", "The version", 1, version=__version__, python=sys.version.split()[0])
    found.add("process_cpu_seconds", "counter", "Time of the CPU that the process has used", process_time())
    memory = memory_bytes()
    if memory is not None:
        found.add("process_resident_memory_bytes", "gauge", "Memory that the process has in use", memory)
    with Snapshot() as now:
        loops = now.loops()
    for number, loop in enumerate(loops):
        labels = {"loop": str(number), "poller": loop.poller}
        for name, kind, meaning in _LOOPS:
            value = getattr(loop, name)
            found.add(f"socket2_loop_{name}", kind, meaning, len(value) if name == "os_threads" else value, **labels)
    for listed in again(enrolled):
        facts = listed.facts()
        if "server" in facts and (facts["connections"] or not facts["stopping"]):
            _add_server(found, facts)
        elif "answers" in facts:
            _add_answers(found, facts)
        elif "upstreams" in facts:
            for upstream in facts["upstreams"]:
                for name, called, kind, meaning in _UPSTREAMS:
                    label = upstream["upstream"]
                    found.add(f"socket2_upstream_{called}", kind, meaning, int(upstream[name]), upstream=label)
    return found


def _add_server(found: Exposition, facts: dict[str, Any]) -> None:
    where = ", ".join(facts["addresses"])
    for name, called, kind, meaning in _SERVERS:
        found.add(f"socket2_server_{called}", kind, meaning, facts[name], server=where)
    for result, count in (facts["handshakes"] or {}).items():
        found.add("socket2_tls_handshakes", "counter", "TLS handshakes of servers", count, server=where, result=result)


def _add_answers(found: Exposition, facts: dict[str, Any]) -> None:
    handler = facts["handler"]
    for method, status, count in facts["answers"]:
        found.add(
            "socket2_http_requests", "counter", "Requests, by the class of the status of their answers", count,
            handler=handler, method=method, status=status,
        )  # fmt: skip
    found.add(
        "socket2_http_answers_cut_off", "counter", "Answers that are not complete", facts["cut_off"], handler=handler
    )
    found.add(
        "socket2_http_sent_body_bytes", "counter", "Bytes of bodies of answers", facts["sent_bytes"], handler=handler
    )
    found.histogram(
        "socket2_http_request_duration_seconds", "From the head of a request to the end of its answer",
        facts["bounds_s"], facts["durations"], facts["duration_s"], (("handler", handler),),
    )  # fmt: skip
