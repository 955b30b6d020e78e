"""Servers, one program per file. Each is written as the authors of its stack would write a fast one.

`echo` sends back what it receives on a connection, `tls` does so inside TLS, `udp` each datagram. `sink`
only receives, `source` only sends. Each listens on a free port of HOST with a backlog of 4096 or the
system's maximum, sets TCP_NODELAY, prints "ready PORT" and serves until it is killed. None is tuned beyond
the recommendations of its documentation. All start with the heap of a program that has run for a while; see
below.
"""

import os

__all__ = ["HOST"]

HOST = os.environ.get("BENCH_HOST", "127.0.0.1")
"""An IPv4 address. It is not that of the loopback device if the load comes from elsewhere."""

# glibc allocates large blocks with mmap until the first such block is freed; after that it uses the heap.
# asyncio receives into 256 KiB. Until something frees a large block, each request costs three more system
# calls and four times the CPU. This accident must not influence the comparison.
bytearray(1 << 20)
