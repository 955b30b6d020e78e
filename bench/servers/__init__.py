"""Servers, one program per file, each written the way its authors would write a fast one.

`echo` sends back what a connection brings, `udp` what a datagram brings; `sink` only reads, `source`
only sends. Each listens on a free port of 127.0.0.1, with a backlog of 4096 or the system's, has
TCP_NODELAY set, prints "ready PORT" and serves until killed. None is tuned beyond what its
documentation recommends. All start with the heap of a program that has lived a little, see below.
"""

# glibc serves large blocks by mmap until the first such block is freed, then from the heap. asyncio
# receives into 256 KiB: three syscalls more per request, 4 x the CPU, until something else in the
# program frees a large block. That accident is not what we compare.
bytearray(1 << 20)
