"""Pollers for systems that report what is ready: attempt, park, attempt again.

This room knows sockets, system calls and what their errors mean, and how epoll, kqueue, poll and select report. It must
not know coroutines, timers, or pollers of another kind.
Read `handle` first: an operation is attempted, parked and finished there. Then read `attempts` (the system calls),
`engine` (the loop that repeats them), `epoll` (a back end) and `sharing` (what several OS threads change). `interface`
says what these files know of each other, `gone` what a closed handle leaves. `kqueue` and `select` are the other back
ends. `winattempts` is `attempts` for Windows. `probe` and `passing` stand alone.
"""
