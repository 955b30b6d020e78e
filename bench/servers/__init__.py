"""Echo servers, one program per file, each written the way its authors would write a fast one.

Each listens on a free port of 127.0.0.1 with a backlog of 4096, has TCP_NODELAY set, prints
"ready PORT" and serves until killed. Receives ask for 64 KiB where there is a choice. None is tuned
beyond what its documentation recommends, and each has back pressure: a client that does not read is
not read from. All start with the heap of a program that has lived a little, see below.
"""

# glibc serves large blocks by mmap until the first such block is freed, then from the heap. asyncio
# receives into 256 KiB: three syscalls more per request, 4 x the CPU, until something else in the
# program frees a large block. That accident is not what we compare.
bytearray(1 << 20)
