"""Random programs that several OS threads serve together: `make stress`, or `python -m tests.stress --help`."""
