"""A kernel in memory: hosts, links between them, sockets, and a clock that jumps to the next thing that happens.

It simulates the kernel, not the poller: the readiness engine over it is the one that runs over epoll. It knows what
Linux answers, and uses no byte and no descriptor of the real kernel. It must not know threads, timers or programs.
Read `world`, which says how to use it, `host` and `link`, then `surroundings` and `description`. TCP is `tcp`,
`teardown`, `threeway` and `transmission`, UDP `udp` and `datagrams`; both share `inet`, `numeric` and `ports`. UNIX
sockets are `unix`, `unixstream` and `unixdatagrams`. `kinds`, `options`, `pairs` and `sock` are what a program sees of
them, `poller` what a poller does. `faults` says what may go wrong; `loopback` is one host for a whole process.
"""

from .faults import Faults
from .host import Host
from .link import Link
from .poller import Simulated
from .world import Stuck, World

__all__ = ["Faults", "Host", "Link", "Simulated", "Stuck", "World"]
