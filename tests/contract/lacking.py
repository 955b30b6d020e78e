"""What a poller does not do yet: tests of the contract that it is expected to fail, and those it would hang in."""

LACKING: dict[str, set[str]] = {}

NOT_RUN: dict[str, set[str]] = {}
