"""A chat for browsers, over WebSockets. Whatever one person writes, all others get.

Shows a page and a WebSocket from one server, and a queue between those who write and each one who reads. A person whose
browser does not read delays nobody: if too much piles up for them, they are disconnected. Pings find the ones who have
gone without a word.

    $ python examples/chat_websocket.py --port 7004
    listening on 127.0.0.1:7004
    $ xdg-open http://127.0.0.1:7004/
"""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from urllib.parse import parse_qs

import socket2
from socket2 import http

NAME_MAX = 20  # characters
MESSAGE_MAX = 4096  # bytes
BACKLOG_MAX = 100  # messages that wait for one person

PAGE = b"""<!doctype html>
<title>Chat</title>
<ul id="said"></ul>
<form id="form"><input id="text" autofocus autocomplete="off" maxlength="1000"></form>
<script>
const name = prompt('Your name?') || 'somebody';
const ws = new WebSocket(location.href.replace(/^http/, 'ws') + 'chat?name=' + encodeURIComponent(name), ['chat']);
const show = text => {
    const item = document.createElement('li');
    item.textContent = text;
    document.getElementById('said').append(item);
};
ws.onmessage = event => show(event.data);
ws.onclose = event => show(`* the chat is over: ${event.code} ${event.reason}`);
document.getElementById('form').onsubmit = event => {
    event.preventDefault();
    const field = document.getElementById('text');
    ws.send(field.value);
    show(`${name}: ${field.value}`);
    field.value = '';
};
</script>
"""


class Person:
    """Someone in the chat, and the messages that wait for them."""

    def __init__(self, name: str, ws: http.WebSocket) -> None:
        self.name = name
        self.ws = ws
        self.backlog: socket2.Queue[str] = socket2.Queue(BACKLOG_MAX)

    async def write(self) -> None:
        with suppress(http.WebSocketClosed):  # the reader notices it, too
            while True:
                await self.ws.send(await self.backlog.get())


class Room:
    """The people who talk to each other."""

    def __init__(self) -> None:
        self.people: set[Person] = set()

    def say(self, text: str, by: Person) -> None:
        for person in self.people - {by}:
            try:
                person.backlog.put_nowait(text)
            except socket2.WouldBlock:
                person.ws.abort()

    async def serve(self, request: http.Request) -> None:
        if request.path == "/chat":
            await self.talk(request)
        elif request.path == "/" and request.method in ("GET", "HEAD"):
            await request.respond(200, PAGE, {"Content-Type": "text/html; charset=utf-8"})
        else:
            await request.respond(404, "There is only / here.\n")

    async def talk(self, request: http.Request) -> None:
        """Be the thread that reads from one person, until they leave."""
        names = parse_qs(request.query).get("name", [])
        name = printable(names[0] if names else "")[:NAME_MAX]
        if not name:
            await request.respond(400, "Who are you? Give a name: /chat?name=\n")
            return
        ws = await request.websocket(subprotocols=["chat"], max_bytes=MESSAGE_MAX)
        person = Person(name, ws)
        writer = socket2.newthread(person.write)
        self.people.add(person)
        try:
            self.say(f"* {name} is here", person)
            async for message in ws:
                if isinstance(message, bytes):
                    await ws.close(1003, "this is a chat: send text")
                    return
                self.say(f"{name}: {printable(message)}", person)
        finally:
            self.people.discard(person)
            writer.cancel()
            self.say(f"* {name} has left", person)


def printable(text: str) -> str:
    """Leave out what could disturb a page or a terminal."""
    return "".join(filter(str.isprintable, text))


def listening(server: socket2.Server) -> None:
    print("listening on", socket2.format_address(server.addresses[0]), flush=True)


class Options(argparse.Namespace):
    host: str
    port: int


def main() -> None:
    parser = argparse.ArgumentParser(description="Let people talk to each other in their browsers.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=7004, type=int, help="0: a free port")
    args = parser.parse_args(namespace=Options())
    try:
        http.serve(Room().serve, args.host, args.port, ready=listening)
    except (OSError, OverflowError) as error:
        sys.exit(f"cannot listen on {args.host}:{args.port}: {error}")


if __name__ == "__main__":
    main()
