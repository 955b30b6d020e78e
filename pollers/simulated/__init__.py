"""A kernel in memory: hosts, links between them, sockets, and a clock that jumps to the next thing that happens.

It simulates the kernel, not the poller. The readiness engine, its directions and attempts are the ones that run over
epoll. No byte and no descriptor of the real kernel is used. It answers as Linux does: docs/simulated-kernel.rst has
the differences. It must not know threads, timers or programs.

    world = World(random.Random(7))
    a, b = world.host("10.0.0.1", "fd00::1", name="a"), world.host("10.0.0.2", name="b")
    world.link(a, b).latency_s = 0.01       # one direction: a Link, whose attributes may change at any time
    poller = a.poller()                     # a Poller; a.poller(check=True) is a checked one
    sock = a.socket(socket.AF_INET, socket.SOCK_STREAM, 0)  # what the poller's socket() makes, too

World: .monotonic(), .wall_s(), .advance(until_s=None) -> bool, .next_at(), .at(when_s, call, *args), .random, .hosts,
.faults (a Faults or None), .trace (a callable or None), .host(...), .link(source, target), .find(address).
Host: .name, .addresses, .up, .poller(), .socket(), .socketpair(), .crash(), .restart(), .cut(), .mend(),
.descriptors_max, .wall_shift_s, .wall_s(), .pid, .uid, .gid, .environment of paths: .paths.
Link: latency_s, jitter_s, bandwidth_Bps, loss, duplicate, reorder, up.

Time moves in advance(), in a poll() or blocking call that has to wait, and nowhere else. A program of several hosts
calls each host's poll(0) until none returns a waiter, and then advance().
"""

from .faults import Faults
from .host import Host
from .link import Link
from .poller import Simulated
from .world import Stuck, World

__all__ = ["Faults", "Host", "Link", "Simulated", "Stuck", "World"]
