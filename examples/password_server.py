"""A server whose handlers block: it stores passwords in an SQLite file and uses hashes that are slow on purpose.

Shows several OS threads that serve one set of threads. While one OS thread computes a hash or waits for the disk, the
others serve the other clients and accept new ones. With --members 1, one request delays all others. The blocking code
is in plain functions. They contain no waits, so each call stays in one OS thread, as sqlite3 requires for a connection.

    $ python examples/password_server.py --port 7005 --members 4 passwords.db
    listening on 127.0.0.1:7005
    $ printf 'set ann secret\ncheck ann secret\ncheck ann guess\nping\n' | nc -N 127.0.0.1 7005
    ok
    yes
    no
    pong
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import os
import sqlite3
import sys
from collections.abc import Generator
from contextlib import closing, suppress
from typing import Any

import socket2


class Passwords:
    """Passwords in a file. Every method blocks."""

    def __init__(self, path: str, rounds: int) -> None:
        self.path = path
        self.rounds = rounds
        with closing(sqlite3.connect(path)) as database, database:
            database.execute("CREATE TABLE IF NOT EXISTS passwords (name BLOB PRIMARY KEY, salt BLOB, hash BLOB)")

    def slow_hash(self, password: bytes, salt: bytes) -> bytes:
        return hashlib.pbkdf2_hmac("sha256", password, salt, self.rounds)

    def keep(self, name: bytes, password: bytes) -> bytes:
        salt = os.urandom(16)
        row = (name, salt, self.slow_hash(password, salt))
        with closing(sqlite3.connect(self.path)) as database, database:
            database.execute("INSERT OR REPLACE INTO passwords VALUES (?, ?, ?)", row)
        return b"ok"

    def check(self, name: bytes, password: bytes) -> bytes:
        with closing(sqlite3.connect(self.path)) as database:
            row = database.execute("SELECT salt, hash FROM passwords WHERE name = ?", (name,)).fetchone()
        if row is None:
            return b"no"
        return b"yes" if hmac.compare_digest(self.slow_hash(password, row[0]), row[1]) else b"no"

    def answer(self, request: bytes) -> bytes:
        match request.split(b" ", 2):
            case [b"ping"]:
                return b"pong"
            case [b"set", name, password]:
                return self.keep(name, password)
            case [b"check", name, password]:
                return self.check(name, password)
        return b"what?"


def serve_one(conn: socket2.TCP, passwords: Passwords) -> Generator[Any, Any, None]:
    with socket2.stream(conn) as lines, suppress(OSError, EOFError):
        while (request := (yield from lines.recvline())) is not None:
            try:
                said = passwords.answer(request)
            except sqlite3.Error as error:
                said = f"error: {error}".encode()
            yield from lines.sendall(said + b"\n")


def serve(listener: socket2.TCP, passwords: Passwords) -> Generator[Any, Any, None]:
    with listener:
        print("listening on", socket2.format_address(listener.local_address), flush=True)
        while True:
            conn = yield from listener.accept()
            socket2.newthread(serve_one, conn, passwords)


class Options(argparse.Namespace):
    host: str
    port: int
    members: int
    rounds: int
    database: str


def main() -> None:
    parser = argparse.ArgumentParser(description="Keep and check passwords.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", default=7005, type=int, help="0: a free port")
    parser.add_argument("--members", default=4, type=int, metavar="N", help="OS threads (default: %(default)s)")
    parser.add_argument("--rounds", default=200_000, type=int, help="rounds of the hash (default: %(default)s)")
    parser.add_argument("database", help="created if it does not exist")
    args = parser.parse_args(namespace=Options())
    listener = socket2.tcp()
    try:
        listener.listen(args.host, args.port)
    except (OSError, OverflowError) as error:
        listener.close()
        sys.exit(f"cannot listen on {args.host}:{args.port}: {error}")
    with suppress(KeyboardInterrupt):
        socket2.newthread(serve, listener, Passwords(args.database, args.rounds))
        socket2.serve_threads(args.members)


if __name__ == "__main__":
    main()
