"""Benchmarks: socket2 beside C and other stacks, as `python -m bench SCENARIO`.

Every number is taken from programs started for it, in interleaved rounds, on cores of their own.
`roster` says what is compared, a module of `scenarios` what one measurement is, `rounds` repeats it
fairly, `report` prints it, `plot` draws it, `results` writes it down. Linux only: it reads /proc.
"""
