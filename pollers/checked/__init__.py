"""The checking poller wraps another poller and reports misuse with the line that made the operation.

This package knows the contract in `pollers.operation`, and Python's stack. It must not know any particular poller,
since it wraps all of them. It is loaded only if checking is on.
Read `watched` first (operations that know where they were made), then `checking` (the poller around a poller).
"""
