"""Coroutine threads and time: how threads run, and how they wait for time and for each other.

This room knows threads, waits, timers, deadlines, cancellation, and the OS threads that do the work. It knows a poller
only by its contract. It must not know sockets, streams or servers.

`README.md` beside this file follows one thread from its start to its end, and says in which order to read the files.
"""
