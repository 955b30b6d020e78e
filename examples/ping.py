"""Ping: request an echo from a host over a raw socket and measure the time. Needs root or CAP_NET_RAW.

Shows a raw socket and a timeout for a block. The socket gets every ICMP packet that the host sends to this machine, so
the block receives until it finds its own reply.

    # python examples/ping.py -c 2 127.0.0.1
    64 bytes from 127.0.0.1: seq=1 ttl=64 time=0.071 ms
    64 bytes from 127.0.0.1: seq=2 ttl=64 time=0.102 ms
    2 sent, 2 received
"""

from __future__ import annotations

import argparse
import random
import struct
import sys
from time import monotonic
from typing import NamedTuple

import socket2

ECHO_REPLY = 0
ECHO_REQUEST = 8
HEADER = struct.Struct("!BBHHH")  # type, code, checksum, identifier, sequence (RFC 792)
PAYLOAD = bytes(range(56))


class Reply(NamedTuple):
    size: int
    ttl: int
    seconds: float


def checksum(packet: bytes) -> int:
    """Return the Internet checksum (RFC 1071). It is 0 for a packet that contains its correct checksum."""
    total: int = sum(struct.unpack(f"!{(len(packet) + 1) // 2}H", packet + bytes(len(packet) % 2)))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total ^ 0xFFFF


def echo_request(identifier: int, sequence: int) -> bytes:
    packet = HEADER.pack(ECHO_REQUEST, 0, 0, identifier, sequence) + PAYLOAD
    return HEADER.pack(ECHO_REQUEST, 0, checksum(packet), identifier, sequence) + PAYLOAD


def is_reply(packet: bytes, identifier: int, sequence: int) -> bool:
    if len(packet) < HEADER.size or checksum(packet) != 0:
        return False
    kind, code, _, *ours = HEADER.unpack_from(packet)
    return kind == ECHO_REPLY and code == 0 and ours == [identifier, sequence] and packet[HEADER.size :] == PAYLOAD


async def ping(sock: socket2.RAW, identifier: int, sequence: int) -> Reply:
    """Send one echo request and wait for its reply."""
    begun = monotonic()
    await sock.send(echo_request(identifier, sequence))
    while True:
        datagram = await sock.recv(65535)
        header_size = (datagram[0] & 0x0F) * 4  # the IP header comes first (RFC 791)
        packet = datagram[header_size:]
        if is_reply(packet, identifier, sequence):
            return Reply(len(packet), datagram[8], monotonic() - begun)


async def ping_all(
    sock: socket2.RAW, host: str, count: int, interval_s: float, timeout_s: float, replies: list[Reply]
) -> None:
    """Ping `count` times, add the replies to a list, and print the results, even after Ctrl-C."""
    identifier = random.randrange(1 << 16)
    sent = 0
    try:
        address = (await socket2.addr(host, type="raw", protocol="icmp"))[0]
        await sock.connect(address)
        while sent < count:
            if sent:
                await socket2.sleep(interval_s)
            sent += 1
            try:
                with socket2.timeout(timeout_s):
                    reply = await ping(sock, identifier, sent & 0xFFFF)
            except TimeoutError:
                print(f"no answer from {address}: seq={sent}", flush=True)
            except OSError as error:
                print(f"{address}: seq={sent}: {error.strerror}", flush=True)
            else:
                replies.append(reply)
                ms = reply.seconds * 1000
                print(f"{reply.size} bytes from {address}: seq={sent} ttl={reply.ttl} time={ms:.3f} ms", flush=True)
    finally:
        if sent:
            print(f"{sent} sent, {len(replies)} received")


class Options(argparse.Namespace):
    host: str
    count: int
    interval: float
    timeout: float


def main() -> None:
    parser = argparse.ArgumentParser(description="Ask a host for an ICMP echo.")
    parser.add_argument("host", nargs="?", default="127.0.0.1")
    parser.add_argument("-c", "--count", default=4, type=int)
    parser.add_argument("-i", "--interval", default=1.0, type=float, metavar="SECONDS")
    parser.add_argument("-W", "--timeout", default=1.0, type=float, metavar="SECONDS")
    args = parser.parse_args(namespace=Options())
    if not (args.interval >= 0 and args.timeout >= 0):
        parser.error("times must not be negative")
    try:
        sock = socket2.raw("inet", "icmp")
    except PermissionError:
        sys.exit("a raw socket needs root, or the capability CAP_NET_RAW")
    with sock:
        replies: list[Reply] = []
        try:
            socket2.run(ping_all, sock, args.host, args.count, args.interval, args.timeout, replies)
        except OSError as error:
            sys.exit(f"{args.host}: {error}")
        except KeyboardInterrupt:
            pass  # the summary is there
    sys.exit(0 if replies else 1)


if __name__ == "__main__":
    main()
