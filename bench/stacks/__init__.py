"""Measurements inside one process. Each stack has a file with the same tasks, in that stack's own style.

A file has run(task, *args), which runs a task to its end, and four tasks, which measure their inner loops
with a Meter: `spawn` starts small tasks and waits for them, `switch` passes a token between two tasks,
`timers` arms and cancels deadlines, `lookup` looks up a name from many tasks. `python -m bench.stacks STACK
TASK COUNT [NAME]` prints the metrics as JSON. A task lets the event loop run after every BATCH operations.
"""

BATCH = 1000
TIMEOUT_S = 60.0
LOOKUP_TASKS = 20
LOOKUP_PORT = 80
