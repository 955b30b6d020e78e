"""Sockets: what a kernel's socket is to a program that runs threads. Addresses, options, timeouts, turns, an end.

A socket of this room gives each operation to a handle of the poller, and limits the wait. Where several addresses lead
to one place, this room tries them. It knows nothing of lines and buffers, of servers, nor of how threads are run.

Read `names` and `address`: what is written and what the kernel takes. Then `socket`, what all have in common; `tcp`
and `udp`, the kinds; `eyeballs`, many addresses and one connection; `endpoint`, connect() and listen() by name;
`descriptors`, which go to other processes. `shortcut.c` is the way to a handle without a Python frame.
"""
