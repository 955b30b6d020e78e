"""python -m socket2 proxy CONFIG.toml: what a file may say, where requests go, and reading it again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from socket2 import http
from socket2.http.gateway.command import Configured, allowing
from socket2.http.gateway.routes import Routes, has_dots
from socket2.http.gateway.settings import WrongSettings, read
from tests.tls.certificates import Authority

from ...interop import curl
from ...interop.peers import LIMIT_S, ROOT, Program, needs, python
from ...test_main import PYTHON_M, SEARCH
from ...test_main import call as command
from ...tls.test_nginx import nginx

RIGHT = """
[server]
bind = "127.0.0.1:0"
[upstreams.app]
servers = ["http://127.0.0.1:1"]
[[routes]]
upstream = "app"
"""


def written(folder: Path, text: str) -> Path:
    file = folder / "proxy.toml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("[server]", "[sever]"), "sever is unknown; allowed are server, upstreams, routes, forward"),
        (("bind =", "bnid ="), "server.bnid is unknown; allowed are bind, workers, certificate"),
        (("bind =", "bnid ="), "server.bind is missing"),
        (('bind = "127.0.0.1:0"', "bind = 8080"), "server.bind must be a string, not 8080"),
        (("[upstreams.app]", "workers = true\n[upstreams.app]"), "server.workers must be a whole number, not True"),
        (
            ("[upstreams.app]", "[server.limits]\nhead = 1\n[upstreams.app]"),
            "server.limits.head is unknown; allowed",
        ),
        (("[upstreams.app]", "[server.limits]\nhead_bytes = 0\n[upstreams.app]"), "server.limits: head_bytes must be"),
        (("[upstreams.app]", 'health = "x"\n[upstreams.app]'), "server: the health path begins with /"),
        (("[upstreams.app]", 'trusted = ["x"]\n[upstreams.app]'), "server: "),
        (("[upstreams.app]", 'key = "k"\n[upstreams.app]'), "server.key needs server.certificate"),
        (("[upstreams.app]", 'certificate = "none"\n[upstreams.app]'), "server.certificate: "),
        (('["http://127.0.0.1:1"]', '"http://127.0.0.1:1"'), "upstreams.app.servers must be a list of strings"),
        (('["http://127.0.0.1:1"]', '["ftp://a"]'), "upstreams.app: "),
        (("[[routes]]", 'balance = "best"\n[[routes]]'), "upstreams.app: balance must be 'round_robin' or"),
        (
            ("[[routes]]", "balanse = 1\n[[routes]]"),
            "upstreams.app.balanse is unknown; allowed are servers,",
        ),
        (("[[routes]]", "idle_s = true\n[[routes]]"), "upstreams.app.idle_s must be a number, not True"),
        (("[[routes]]", "send_s = true\n[[routes]]"), "upstreams.app.send_s must be a number, or false for no limit"),
        (("[[routes]]", 'authorities = "none"\n[[routes]]'), "upstreams.app: "),
        (('upstream = "app"', 'upstream = "ap"'), "routes[1].upstream must be one of [upstreams]: app; not 'ap'"),
        (('upstream = "app"', 'upstream = "app"\nhost = "a:80"'), "routes[1].host must be a name, or *.name"),
        (('upstream = "app"', 'upstream = "app"\npath = "a"'), "routes[1].path must begin with /, unlike 'a'"),
        (
            ('upstream = "app"', 'upstream = "app"\n[[routes]]\nupstream = "app"'),
            "routes[2] has the same host",
        ),
        (('[[routes]]\nupstream = "app"', ""), "routes is missing: a proxy needs [[routes]] or [forward]"),
        (('upstream = "app"', 'upstream = "app"\n[forward]'), "forward.allow is missing"),
        (('upstream = "app"', 'upstream = "app"\n[forward]\nallow = ["a"]'), "forward: allow has places as"),
        (('upstream = "app"', 'upstream = "app"\n[forward]\nallow = []\nclients = ["x"]'), "forward: "),
        (("[server]", "[server"), "Expected ']'"),
    ],
)
def test_mistakes(change: tuple[str, str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from socket2.__main__ import main

    file = written(tmp_path, RIGHT.replace(*change))
    assert main(["proxy", str(file), "--check"]) == 1
    told = capsys.readouterr().err
    assert f"{file}: {said}" in told
    assert "Traceback" not in told


def test_a_file_that_is_right_and_one_that_is_missing(tmp_path: Path) -> None:
    done = command("proxy", str(written(tmp_path, RIGHT)), "--check")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'proxy.toml'} is right\n")
    done = command("proxy", str(tmp_path / "none"))
    assert done.returncode == 1
    assert "none" in done.stderr
    assert "Traceback" not in done.stderr


def test_false_is_no_limit(tmp_path: Path) -> None:
    text = RIGHT.replace("[upstreams.app]", "[server.limits]\nbody_bytes = false\n[upstreams.app]\nsend_s = false")
    settings = read(written(tmp_path, text))
    assert settings.limits == {"body_bytes": None}
    assert settings.upstreams["app"]["send_s"] is None
    assert http.Limits(**settings.limits).body_bytes is None


def test_routes() -> None:
    places = [("", "/"), ("a.b", "/"), ("a.b", "/x"), ("*.b", "/"), ("*.c.b", "/x/")]

    def named(host: str, path: str) -> Any:
        return lambda request: f"{host}{path}"

    routes = Routes([(host, path, named(host, path)) for host, path in places])

    def found(host: str, path: str) -> Any:
        handler: Any = routes.find(host, path)
        return handler and handler(None)

    assert found("a.b", "/y") == found("A.B.:80", "/xy") == "a.b/"
    assert found("a.b", "/x") == found("a.b", "/x/y") == "a.b/x"
    assert found("e.b", "/x") == "*.b/"
    assert found("e.c.b", "/x/y") == "*.c.b/x/"
    assert found("e.c.b", "/") == "*.b/"
    assert found("b", "/") == found("", "/") == found("[::1]:80", "/") == "/"
    assert Routes([("a", "/", named("a", "/"))]).find("b", "/") is None
    assert [path for path in ("/a/../b", "/..", "/./a", "/a\\..\\b", "/a..b", "/...", "/") if has_dots(path)] == [
        "/a/../b", "/..", "/./a", "/a\\..\\b",
    ]  # fmt: skip


def test_groups_that_are_the_same_stay(tmp_path: Path) -> None:
    more = RIGHT.replace("[[routes]]", '[upstreams.b]\nservers = ["http://127.0.0.1:2"]\n[[routes]]')
    configured = Configured(written(tmp_path, more))
    before = dict(configured._proxies)
    written(tmp_path, more.replace("127.0.0.1:2", "127.0.0.1:3"))
    configured.reload()
    assert configured._proxies["app"] is before["app"]
    assert configured._proxies["b"] is not before["b"]
    for wrong, said in (
        (more.replace("app", "ap", 1), "must be one of"),
        (more.replace(":0", ":9"), "needs a restart"),
    ):
        after = dict(configured._proxies)
        written(tmp_path, wrong)
        with pytest.raises(WrongSettings, match=said):
            configured.reload()
        assert configured._proxies == after
    written(tmp_path, RIGHT)
    configured.reload()
    assert list(configured._proxies) == ["app"]


# As users run it.

SERVER = """
import sys
from socket2 import http

async def tell(request):
    await request.respond(200, f"{sys.argv[1]} {request.path} {request.headers.get('x-forwarded-proto')}\\n")

def ready(server):
    print("listening on", "%s:%d" % server.addresses[0], flush=True)

http.serve(tell, "127.0.0.1:0", ready=ready)
"""


@contextmanager
def upstream(folder: Path, name: str) -> Iterator[int]:
    (folder / "server.py").write_text(SERVER)
    with python(folder / "server.py", name) as program:
        yield program.port()


@contextmanager
def proxying(file: Path) -> Iterator[tuple[Program, int]]:
    with Program([*PYTHON_M, "proxy", str(file)], env=SEARCH) as program:
        yield program, program.port(r"^proxy on https?://\S+:(\d+) ")
        program.send_signal(signal.SIGTERM)
        assert program.wait() == 0


def ask(*args: str) -> str:
    done = subprocess.run(curl.command(*args), capture_output=True, timeout=LIMIT_S, check=True)
    return done.stdout.decode()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")
@pytest.mark.parametrize("workers", ["", "workers = 2"])
def test_reading_it_again(workers: str, tmp_path: Path) -> None:
    if workers and not hasattr(os, "fork"):
        pytest.skip("this system has no fork")
    with upstream(tmp_path, "one") as one, upstream(tmp_path, "two") as two:
        text = f"""
[server]
bind = "127.0.0.1:0"
{workers}
metrics = "/metrics"
health = "/healthz"
access_log = "common"
[upstreams.app]
servers = ["http://127.0.0.1:{one}"]
[[routes]]
upstream = "app"
"""
        with proxying(file := written(tmp_path, text)) as (program, port):
            place = f"http://127.0.0.1:{port}"
            assert ask(f"{place}/a") == "one /a http\n"
            assert ask(f"{place}/healthz") == "ok\n"
            assert "socket2_upstream_responses_total" in ask(f"{place}/metrics")
            file.write_text(text.replace("[[routes]]", "[[rutes]]"))
            program.send_signal(signal.SIGHUP)
            program.complains(b"rutes is unknown")
            assert ask(f"{place}/a") == "one /a http\n"
            file.write_text(text.replace(str(one), str(two)))
            program.send_signal(signal.SIGHUP)
            program.announced(r"^read .* again$")
            while (answer := ask(f"{place}/a")) != "two /a http\n":
                assert answer == "one /a http\n"  # of a worker that is being replaced


def test_the_example_of_the_guide(authority: Authority, tmp_path: Path) -> None:
    """With curl in front of it, over TLS; nginx is one of the servers behind it, over TLS, too."""
    needs("nginx", "nginx-light")
    page = (ROOT / "docs" / "http-proxy.md").read_text()
    example = page.partition("```toml\n")[2].partition("```")[0]
    server_pem = authority.issue("localhost", "127.0.0.1", "www.example.org", "api.example.org")
    (tmp_path / "server.pem").write_bytes(server_pem.read_bytes())
    (tmp_path / "internal-ca.pem").write_bytes(authority.file.read_bytes())
    with upstream(tmp_path, "one") as one, secure_nginx(tmp_path / "n", server_pem) as two:
        for documented, used in (
            ('":443"', '"127.0.0.1:0"'),
            ('"127.0.0.1:9100"', f'"{tmp_path / "metrics"}"'),
            ("http://10.0.0.1:8000", f"http://127.0.0.1:{one}"),
            ("http://10.0.0.2:8000", f"http://127.0.0.1:{one}"),
            ("https://10.0.0.3:8443", f"https://127.0.0.1:{two}"),
        ):
            assert documented in example
            example = example.replace(documented, used)
        with proxying(written(tmp_path, example)) as (_, port):

            def get(host: str, path: str) -> str:
                trust = ("--cacert", str(tmp_path / "internal-ca.pem"), "--resolve", f"{host}:{port}:127.0.0.1")
                return ask(*trust, f"https://{host}:{port}{path}")

            assert get("www.example.org", "/a") == "one /a https\n"
            assert get("api.example.org", "/v1/a") == "nginx /v1/a https\n"
            assert get("www.example.org", "/healthz") == "ok\n"
            assert get("localhost", "/") == "no route\n"
            told = ask("--unix-socket", str(tmp_path / "metrics"), "http://localhost/")
            assert 'socket2_tls_handshakes_total{worker="0"' in told


@contextmanager
def secure_nginx(folder: Path, certificate: Path) -> Iterator[int]:
    with socket.socket() as holding:  # so that nobody else gets the port
        holding.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        holding.bind(("127.0.0.1", 0))
        port = int(holding.getsockname()[1])
        block = (
            f"listen 127.0.0.1:{port} ssl reuseport;\n"
            f"ssl_certificate {certificate}; ssl_certificate_key {certificate};\n"
            'location /healthz { return 200 "ok"; }\n'
            'location / { return 200 "nginx $uri $http_x_forwarded_proto\\n"; }'
        )
        with nginx(folder, block):
            yield port


def test_a_forward_proxy(tmp_path: Path) -> None:
    with upstream(tmp_path, "one") as one:
        text = f"""
[server]
bind = "127.0.0.1:0"
[forward]
allow = ["*.example.org:*", "127.0.0.1:{one}"]
clients = ["127.0.0.0/8"]
"""
        with proxying(written(tmp_path, text)) as (_, port):
            proxy = ("--proxytunnel", "--noproxy", "", "--proxy", f"http://127.0.0.1:{port}")
            assert ask(*proxy, f"http://127.0.0.1:{one}/a") == "one /a None\n"
            assert ask(f"http://127.0.0.1:{port}/") == "no route\n"


@pytest.mark.parametrize(
    ("host", "port", "is_allowed"),
    [
        ("a.example.org", 1, True),
        ("A.B.Example.org.", 443, True),
        ("example.org", 1, False),
        ("aexample.org", 1, False),
        ("10.0.0.1", 80, True),
        ("10.0.0.1", 81, False),
        ("::1", 80, True),
        ("::2", 80, False),
    ],
)
def test_places_of_a_forward_proxy(host: str, port: int, is_allowed: bool) -> None:
    allowed = allowing({"allow": ["*.example.org:*", "10.0.0.1:80", "[::1]:80"]})
    assert allowed(None, host, port) is is_allowed
