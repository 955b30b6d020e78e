"""Commands that show what processes are doing: `python -m socket2 ps` and `top`.

This room asks processes from outside, and runs no loop. It knows only the JSON that they answer with.

Read `asking` first: a process and, if it is a supervisor, its workers. `table`: both as text. `redraw`: a listing again
and again. `rates`: what has changed between two answers. `screen` and `top` draw that, with rich.
"""
