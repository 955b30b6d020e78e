"""Streams: lines, exact counts and separators over bytes that arrive in arbitrary pieces.

If a receive ends early, what has arrived must not be lost. So this room keeps the bytes that arrived but were not
taken. It knows nothing of the kernel, of addresses, or of who is connected to whom.

Read `buffer` first: it holds bytes and never waits. `claim` gives one thread the right to one direction. `transport`
says what a stream needs below it. `stream` puts them together.
"""
