"""Coroutine threads and time: what runs threads, and what one thread can wait for of another.

This room knows threads, waits, timers, deadlines, cancellation, and the OS threads that do the work. It knows a poller
only by its contract. It must not know sockets, streams or servers.

`README.md` beside this file follows one thread from its start to its end, and says in which order to read the room.
"""
