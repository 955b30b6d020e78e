"""Benchmarks: servers side by side, against a hand-written C server, as `python -m bench SCENARIO`.

Every number is taken from programs started for it, in interleaved rounds, on cores of their own.
`roster` says what is compared, a scenario module (`echo`, `idle`) says what one measurement is,
`rounds` repeats it fairly, `report` prints it. Linux only: it reads /proc.
"""
