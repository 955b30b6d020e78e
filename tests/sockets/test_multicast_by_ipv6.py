"""Multicast of IPv6 between two interfaces of a network namespace: the loopback interface may have none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from ..interop.peers import LIMIT_S, ROOT
from ..machine import has_ipv6

NAMESPACE = """
ip link set lo up
ip link add one type veth peer name other || exit 75
ip link set one up
ip link set other up
exec "$0" -c "$1"
"""
PROGRAM = """
import socket
from socket2 import run, sleep, timeout, udp

async def main():
    with udp("inet6") as receiver, udp("inet6") as sender:
        receiver.bind("::", 0)
        receiver.setopt("packet_info", True)
        receiver.join_group("ff02::7:7", "one")
        sender.setopt("multicast_interface", "one")
        with timeout(20):
            while True:
                try:
                    await sender.sendto(b"by name", "ff02::7:7", receiver.getsockname()[1])
                    break
                except OSError:  # the interface has no address yet: it makes sure that nobody else has it
                    await sleep(0.05)
            message = await receiver.recvmsg(100)
        assert message.data == b"by name"
        assert message.packet_info.destination == "ff02::7:7"
        assert socket.if_indextoname(message.packet_info.interface) == "one"
        await receiver.sendmsg(b"answer", message.address, packet_info=message.packet_info)
        assert await sender.recv(100) == b"answer"
        receiver.leave_group("ff02::7:7", "one")
        receiver.join_group("ff02::7:7", "one", source=message.address[0].partition("%")[0])
        await sender.sendto(b"from the source", "ff02::7:7", receiver.getsockname()[1])
        assert await receiver.recv(100) == b"from the source"

run(main)
print("done")
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root makes network namespaces")
@pytest.mark.skipif(not (shutil.which("unshare") and shutil.which("ip")), reason="this machine lacks unshare or ip")
@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_ipv6_between_two_interfaces_of_a_namespace() -> None:
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", NAMESPACE, sys.executable, PROGRAM],
        cwd=ROOT,
        capture_output=True,
        timeout=LIMIT_S,
        check=False,
        text=True,
    )
    if done.returncode == 75 or "unshare failed" in done.stderr:
        pytest.skip(f"this kernel makes no such namespace: {done.stderr}")
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr
