"""Streams: lines, exact counts and separators, of bytes that come in pieces as they like.

Whatever ends a receive early leaves what has come in the buffer, so this room knows what has come and was not taken.
It knows nothing of the kernel, of addresses, and of who has connected to whom.

Read `buffer`, which knows no waiting; `claim`, one thread in one direction; `transport`, what a stream is made of; then
`stream`, which puts them together.
"""
