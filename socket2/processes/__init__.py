"""Child processes: starting them, talking to them through pipes, waiting for their end, and leaving none behind.

This room knows processes, their exit codes and signals. It must not know how a pipe is read without a wait: `files`
does. Python's `subprocess` starts the processes. Its own waits are used only on Windows.

Read `reaping` first: how a thread waits until a process has ended. Then `child`: a process with its streams. `capture`
runs one from its start to its end.
"""
