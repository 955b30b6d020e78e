"""What is measured inside one process: for each stack a file with the same tasks, each in that stack's own style.

A file has run(task, *args), which runs a task to its end, and these tasks, which measure their inner
loops with a Meter: `spawn` starts small tasks and waits for them, `switch` passes a token between two,
`timers` arms and cancels deadlines, `lookup` asks for a name from many tasks. `python -m bench.stacks
STACK TASK COUNT [NAME]` prints what the meter has, as JSON. Every BATCH operations the loop has its turn.
"""

BATCH = 1000
TIMEOUT_S = 60.0
LOOKUP_TASKS = 20
LOOKUP_PORT = 80
