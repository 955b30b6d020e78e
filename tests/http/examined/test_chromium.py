"""A browser: a page over https, with fetch() and a WebSocket, both ways and large."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

import socket2
from socket2 import http
from socket2.tls.development import development_certificate

from ...interop.peers import Program, needs, run

PAGE = """<!doctype html><title>a</title><link rel="icon" href="data:,"><script>
const large = 'h\\u00e9llo'.repeat(100000)
const said = []
async function ask() {
  const response = await fetch('/echo?a=b', {method: 'POST', body: large})
  said.push(response.status, await response.text() === large)
  const pieces = (await fetch('/pieces')).body.getReader()
  let size = 0
  for (let piece; !(piece = await pieces.read()).done;) size += piece.value.length
  said.push(size)
  const many = await Promise.all([...Array(20).keys()].map(n => fetch('/echo', {method: 'PUT', body: `${n}`})))
  said.push((await Promise.all(many.map(one => one.text()))).join(''))
  const ws = new WebSocket(location.href.replace('https', 'wss') + 'ws', ['chat'])
  await new Promise(resolve => ws.onopen = resolve)
  said.push(ws.protocol, ws.extensions)
  for (const message of [large, '', 'x']) {
    ws.send(message)
    said.push(message === await new Promise(resolve => ws.onmessage = event => resolve(event.data)))
  }
  ws.close(4000, 'done')
  const closed = await new Promise(resolve => ws.onclose = resolve)
  said.push(closed.code, closed.wasClean)
}
ask().catch(error => said.push(`${error}`)).then(() => fetch('/said', {method: 'POST', body: JSON.stringify(said)}))
</script>"""

QUIET = "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-background-networking --disable-sync"


def key_of(certificate: Path) -> str:
    """Return what Chromium calls the fingerprint of its key."""
    found = x509.load_pem_x509_certificates(certificate.read_bytes())[0].public_key()
    return base64.b64encode(
        hashlib.sha256(found.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
    ).decode()


def test_a_page(tmp_path: Path) -> None:
    chromium = needs("chromium")
    certificate, _ = development_certificate(tmp_path, ["localhost"])

    async def main() -> object:
        ended = socket2.Event()
        found: list[object] = []

        async def answer(request: http.Request) -> None:
            if request.path == "/":
                await request.respond(200, PAGE, {"Content-Type": "text/html; charset=utf-8"})
            elif request.path == "/echo":
                await request.respond(200, await request.read(), {"Content-Type": "text/plain; charset=utf-8"})
            elif request.path == "/pieces":
                await request.start(200)
                for _ in range(100):
                    await request.send(bytes(10_000))
            elif request.path == "/ws":
                ws = await request.websocket(subprotocols=["chat"])
                async for message in ws:
                    await ws.send(message)
            else:
                found.append(await request.json())
                await request.respond(204)
                ended.set()

        server = socket2.Server(http.handler(answer), tls=socket2.server_context(certificate))
        await server.listen("127.0.0.1", 0)
        options = [f"--user-data-dir={tmp_path}/user", f"--ignore-certificate-errors-spki-list={key_of(certificate)}"]
        url = f"https://localhost:{server.addresses[0][1]}/"
        with Program([chromium, *QUIET.split(), *options, url]):
            await ended.wait()
        await server.stop(0)
        return found[0]

    numbers = "".join(map(str, range(20)))
    said = run(main)
    assert isinstance(said, list)
    assert said.pop(5).startswith("permessage-deflate")
    assert said == [200, True, 1_000_000, numbers, "chat", True, True, True, 4000, True]
