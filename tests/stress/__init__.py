"""Random programs on a scheduler with several OS threads: `make stress`, or `python -m tests.stress --help`."""
