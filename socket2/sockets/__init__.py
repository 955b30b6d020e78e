"""Sockets for programs that run threads: addresses, options, timeouts, turns and closing.

A socket of this room passes each operation to its handle, which belongs to the poller, and limits the wait. If a name
has several addresses, this room tries them. It knows nothing of lines and buffers, of servers, or of how threads run.

Read `names` and `address` first: names as people write them, and as the kernel takes them. Then read `socket`, which
all kinds share; `tcp` and `udp`, the kinds; `eyeballs`, which makes one connection from many addresses; `endpoint`,
connect() and listen() by name; and `descriptors`, which sends descriptors to other processes. `shortcut.c` calls the
handle without a Python frame.
"""
