"""A page in a headless Chromium, told what to do by the Chrome DevTools Protocol over socket2's own WebSocket."""

from __future__ import annotations

import base64
import json
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import socket2
from socket2 import http

_OPTIONS = "--headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --remote-debugging-port=0"


class Page:
    """One page. Its operations are made one at a time."""

    def __init__(self, ws: http.WebSocket) -> None:
        self._ws, self._calls = ws, 0

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Return the result of a command. Raises RuntimeError if the browser refuses it."""
        self._calls += 1
        await self._ws.send(json.dumps({"id": self._calls, "method": method, "params": params}))
        while True:
            answer = await self._next()
            if answer.get("id") == self._calls:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    async def _next(self) -> dict[str, Any]:
        message = await self._ws.recv()
        if message is None:
            raise RuntimeError("the browser has gone")
        return json.loads(message)

    async def open(self, url: str) -> None:
        """Open a page, and wait until it is loaded."""
        await self.call("Page.navigate", url=url)
        while (await self._next()).get("method") != "Page.loadEventFired":
            pass

    async def look(self, width: int, height: int, scheme: str = "light") -> None:
        """Set the size in CSS pixels, and the colour scheme that the reader prefers: "light" or "dark"."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
        )
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    async def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression; a promise is awaited."""
        done = await self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        return done["result"].get("value")

    async def screenshot(self, path: Path) -> None:
        shot = await self.call("Page.captureScreenshot", format="png")
        path.write_bytes(base64.b64decode(shot["data"]))


@asynccontextmanager
async def page(chromium: str) -> AsyncIterator[Page]:
    """Start the browser for the block."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [chromium, *_OPTIONS.split(), f"--user-data-dir={profile}", "about:blank"]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        async with socket2.process(command, **quiet) as browser:
            told = Path(profile, "DevToolsActivePort")
            with socket2.timeout(60):
                while not (told.exists() and told.read_text().count("\n")):
                    await socket2.sleep(0.05)
            port = int(told.read_text().split()[0])
            with await http.request("GET", f"http://127.0.0.1:{port}/json/list") as answer:
                targets = await answer.json()
            url = next(target["webSocketDebuggerUrl"] for target in targets if target["type"] == "page")
            ws = await http.websocket(url, max_bytes=1 << 26, compress=False)
            opened = Page(ws)
            await opened.call("Page.enable")
            yield opened
            with suppress(http.WebSocketClosed, RuntimeError):
                await opened.call("Browser.close")
            with suppress(http.WebSocketClosed):
                await ws.close()
            await browser.wait()
