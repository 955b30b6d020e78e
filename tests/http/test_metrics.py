"""Metrics, read by the parser of Prometheus' own client."""

from __future__ import annotations

import math
import os
import signal
import socket
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeAlias

import pytest

import socket2
from socket2 import http, metrics
from socket2.metrics import colleagues
from socket2.metrics.exposition import Exposition
from socket2.servers import staff
from tests.tls.certificates import Authority

from ..interop import curl
from ..interop.peers import LIMIT_S, python, run
from .gateway.scene import through
from .scene import ask, connect, serve

Figures: TypeAlias = "dict[tuple[str, frozenset[tuple[str, str]]], float]"

ASK = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


def parsed(text: str) -> Figures:
    """Return the samples by name and labels, each of which comes once."""
    parser = pytest.importorskip("prometheus_client.openmetrics.parser")
    samples = [each for family in parser.text_string_to_metric_families(text) for each in family.samples]
    found = {(each.name, frozenset(each.labels.items())): each.value for each in samples}
    assert len(found) == len(samples)
    return found


def of(figures: Figures, name: str, **labels: str) -> float:
    """Return the sum of the samples with at least these labels; nan without one."""
    wanted = labels.items()
    values = [value for (each, own), value in figures.items() if each == name and wanted <= own]
    return sum(values) if values else math.nan


async def answer(request: http.Request) -> None:
    if request.path == "/fails":
        raise LookupError
    if request.path == "/breaks":
        await request.start(200, length=10)
        await request.send("hello")
    else:
        await request.respond(int(request.path[1:]), "hello")


def get(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode()


def test_answers_by_method_and_class(caplog: pytest.LogCaptureFixture) -> None:
    async def client(server: socket2.Server) -> tuple[bytes, str]:
        for request in (
            get("/200"),
            get("/201"),
            get("/404", "POST"),
            get("/fails"),
            get("/breaks"),
            b"nonsense\r\n\r\n",
        ):
            await ask(server, request)
        return await ask(server, ASK), str(socket2.format_address(server.addresses[0]))

    found, where = serve(answer, client, metrics="/metrics", access_log="common")
    head, _, text = found.partition(b"\r\n\r\n")
    assert f"content-type: {metrics.CONTENT_TYPE}\r\n".encode() in head
    figures = parsed(text.decode())
    name = "socket2_http_requests_total"
    assert of(figures, name, handler="answer", method="GET", status="2xx") == 3
    assert of(figures, name, handler="answer", method="POST", status="4xx") == 1
    assert of(figures, name, handler="answer", method="GET", status="5xx") == 1
    assert of(figures, name, handler="answer", method="none", status="4xx") == 1
    assert of(figures, "socket2_http_answers_cut_off_total", handler="answer") == 1
    assert of(figures, "socket2_http_request_duration_seconds_count", handler="answer") == 6
    assert of(figures, "socket2_http_request_duration_seconds_bucket", handler="answer", le="+Inf") == 6
    assert of(figures, "socket2_http_sent_body_bytes_total", handler="answer") > 15
    assert of(figures, "socket2_server_connections", server=where) == 1
    assert of(figures, "socket2_server_connections_accepted_total", server=where) == 7
    assert of(figures, "socket2_loop_threads") > 1
    assert of(figures, "socket2_loop_os_threads") == 1
    assert of(figures, "process_cpu_seconds_total") > 0


def test_an_upgraded_connection_has_no_duration() -> None:
    async def upgrade(request: http.Request) -> None:
        (await request.upgrade()).close()

    async def client(server: socket2.Server) -> bytes:
        await ask(server, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
        return await ask(server, ASK)

    figures = parsed(serve(upgrade, client, metrics="/metrics").partition(b"\r\n\r\n")[2].decode())
    handler = upgrade.__qualname__
    assert of(figures, "socket2_http_requests_total", handler=handler, status="1xx") == 1
    assert of(figures, "socket2_http_request_duration_seconds_count", handler=handler) == 0


def test_nobody_else_sees_them() -> None:
    async def client(server: socket2.Server) -> bytes:
        return await ask(server, get("/404"))

    assert b"socket2_" not in serve(answer, client, metrics=True)
    for wrong in ("metrics", "/\xe9"):
        with pytest.raises(ValueError, match="metrics path"):
            http.handler(answer, metrics=wrong)


def test_handshakes(authority: Authority) -> None:
    async def hello(conn: Any) -> None:
        await conn.sendall(b"hello")

    async def main() -> str:
        server = socket2.Server(hello, tls=authority.server())
        await server.listen("127.0.0.1:0")
        place, context = server.addresses[0], authority.client()
        session = None
        for _ in range(2):
            with await socket2.connect(*place, tls=context, server_hostname="localhost", session=session) as conn:
                assert await conn.recv(5) == b"hello"
                session = conn.session
        with await socket2.connect(*place) as plain:
            await plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
            await socket2.stream(plain).recvall()
        text = metrics.text()
        await server.stop()
        return text

    figures = parsed(run(main))
    for result in ("full", "resumed", "failed"):
        assert of(figures, "socket2_tls_handshakes_total", result=result) == 1, result


def test_a_server_without_http_and_without_the_header_of_its_balancer() -> None:
    async def nothing(conn: socket2.TCP) -> None:
        raise AssertionError

    async def main() -> tuple[str, str]:
        server = socket2.Server(nothing, proxy_protocol=["127.0.0.1"])
        await server.listen("127.0.0.1:0")
        with await connect(server) as conn:
            await conn.sendall(b"hello\r\n" * 20)
            with suppress(ConnectionResetError):
                assert await conn.recvall() == b""
        text = metrics.text()
        await server.stop()
        return text, str(socket2.format_address(server.addresses[0]))

    text, where = run(main)
    figures = parsed(text)
    assert of(figures, "socket2_server_connections_refused_total", server=where) == 1


def test_what_comes_twice_is_summed_and_text_is_escaped() -> None:
    found = Exposition()
    strange = 'a"b\\c\nd'
    for _ in range(2):
        found.add("x", "gauge", strange, 2, label=strange)
    other = Exposition()
    other.merge(found.as_data(), worker="0")
    assert parsed(found.text()) == {("x", frozenset({("label", strange)})): 4}
    assert parsed(other.text()) == {("x", frozenset({("label", strange), ("worker", "0")})): 4}


# Workers.

SERVER = """
import sys
from socket2 import http

async def hello(request):
    await request.respond(200, "hello")

def ready(workers):
    print("listening on", "%s:%d" % workers.addresses[0], flush=True)

where = {"metrics_at": sys.argv[1]} if sys.argv[1:] else {"metrics": "/metrics"}
http.serve(hello, "127.0.0.1:0", **where, workers=2, ready=ready)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("at", ["its own addresses", "a path"])
def test_one_worker_answers_for_all(at: str, tmp_path: Path) -> None:
    (tmp_path / "server.py").write_text(SERVER)
    path = tmp_path / "metrics"
    given = [str(path)] if at == "a path" else []
    way = ["--unix-socket", *given] if given else []
    with python(tmp_path / "server.py", *given) as server:
        place = f"http://127.0.0.1:{server.port()}"

        def asked() -> Figures:
            ask = curl.command(*way, f"{place}/metrics")
            done = subprocess.run(ask, capture_output=True, timeout=LIMIT_S, check=True)
            return parsed(done.stdout.decode())

        for _ in range(8):
            subprocess.run(curl.command(place), capture_output=True, timeout=LIMIT_S, check=True)
        figures = asked()
        for worker in "01":
            assert of(figures, "socket2_worker_up", worker=worker) == 1
            assert of(figures, "process_cpu_seconds_total", worker=worker) > 0
        assert of(figures, "socket2_http_requests_total", method="GET", status="2xx") == 8
        server.send_signal(signal.SIGINT)
        assert server.wait() == 0
        assert server.stderr() == b""
    assert not path.exists()


class Refusing:
    def getaddrinfo(self, *_: object) -> Any:
        raise socket.gaierror(socket.EAI_NONAME, "the table has no such name")

    def getnameinfo(self, *_: object) -> Any:
        raise AssertionError


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_the_resolver_of_workers_looks_up_the_place_of_metrics() -> None:
    place = "metrics.invalid:0"
    with pytest.raises(socket.gaierror, match="the table"):
        http.serve(answer, "127.0.0.1:0", metrics_at=place, workers=2, resolver=Refusing())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no workers")
def test_a_worker_that_does_not_answer_is_down(monkeypatch: pytest.MonkeyPatch) -> None:
    def main() -> Any:
        workers = colleagues.Colleagues(3)
        try:
            monkeypatch.setattr(staff, "own_number", 1)
            answering = socket2.newthread(workers.answer)
            yield from socket2.sleep(0)
            monkeypatch.setattr(staff, "own_number", 0)
            with socket.socket() as much:  # as if the descriptors of the process were used up
                socket.send_fds(workers._questions[1][0], [b"?"], [much.fileno()] * 2)
            answers: dict[int, Any] = {}
            yield from workers._ask(1, answers)
            monkeypatch.setattr(colleagues, "ANSWER_S", 0.001)
            text = (yield from workers.figures()).text()
            answering.cancel()
            with pytest.raises(socket2.Cancelled):
                yield from answering.join()
            return answers, text
        finally:
            workers.close()

    answers, text = socket2.run(main)
    assert answers[1]
    figures = parsed(text)
    assert of(figures, "socket2_worker_up", worker="0") == 1
    assert of(figures, "socket2_worker_up", worker="2") == 0


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no UNIX sockets")
def test_a_place_of_their_own(tmp_path: Path) -> None:
    found: list[bytes] = []
    place = tmp_path / "metrics"

    async def client(server: Any) -> None:
        for where, request in ((server.addresses[0], get("/404")), (place, ASK)):
            with socket2.stream(await socket2.connect(where)) as conn:
                await conn.sendall(request)
                found.append(await conn.recvall())
        await server.stop()

    http.serve(answer, "127.0.0.1:0", metrics_at=place, ready=client)
    figures = parsed(found[1].partition(b"\r\n\r\n")[2].decode())
    assert of(figures, "socket2_http_requests_total", handler="answer", method="GET", status="4xx") == 1
    assert not place.exists()


def test_upstreams() -> None:
    def test(scene: Any) -> Any:
        yield from scene.ask(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        return scene.proxy.upstreams[0].name, metrics.text()

    name, text = through(test)
    figures = parsed(text)
    assert of(figures, "socket2_upstream_responses_total", upstream=name) == 1
    assert of(figures, "socket2_upstream_is_well", upstream=name) == 1
    assert of(figures, "socket2_upstream_is_out", upstream=name) == 0
