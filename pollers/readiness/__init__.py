"""Pollers for systems that report readiness: attempt, park, attempt again.

This package knows sockets, system calls and what their errors mean, and how epoll, kqueue, poll and select report. It
must not know coroutines, timers, or pollers of another kind.
Read `handle` and `oneshot` first: they attempt, park and finish operations. Then read `attempts` (the system calls),
`engine` (the loop that repeats them), `epoll` (a back end) and `sharing` (what changes for several OS threads).
`interface` says what these modules know of each other, `gone` what remains of a closed handle. `kqueue` and `select`
are the other back ends. `winattempts` is `attempts` for Windows. `messages` is independent.
"""
