"""The checking poller goes around another poller and reports misuse with the line that made the operation.

This room knows the contract in `pollers.operation`, and Python's stack. It must not know any poller, since it goes
around each of them. Nothing of it is loaded unless checking is on.
Read `watched` first (operations that know where they were made), then `checking` (the poller around a poller).
"""
