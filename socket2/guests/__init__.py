"""Other event loops and ours in one OS thread: theirs inside ours, and ours inside theirs.

Read `crossing` first: how a thread waits for work that another loop does. It does not know which loop that is. Each
guest has a room of its own, which knows the guest's library. No other room may know it, so a program that does not use
the library pays nothing.
"""
