"""Benchmarks that compare socket2 with C and other stacks: `python -m bench SCENARIO`.

Every number is measured in fresh programs, in interleaved rounds, on cores of their own.
`roster` lists what is compared, each module of `scenarios` defines a measurement, `rounds` repeats it
fairly, `report` prints it, `plot` draws it, and `results` saves it. Linux only, since it reads /proc.
"""
