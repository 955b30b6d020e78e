"""Servers: accepting, a thread for each connection, and an end at which nobody is cut off in mid-answer.

This room knows when a connection may be let go, whose fault its end was, and how processes replace each other. It knows
no protocol that a client speaks: a handler does. It does not know how threads and sockets work, only their methods.

Read `listeners`, then `accepting`, how connections are taken; `connection`, one and its thread; `server`, all of them.
Then `signals` and `program`, which is serve(): a server until a signal comes. Last, several processes: `inheritance`,
the sockets that outlast them; `supervisor`, who starts them; `workers`, what they do.
"""
