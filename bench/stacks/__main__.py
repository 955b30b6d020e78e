"""Runs one task of one stack in this process. See the package."""

from __future__ import annotations

import sys
from importlib import import_module

from bench.stacks.meter import Meter


def main(stack: str, task: str, count: str, *args: str) -> None:
    module = import_module(f"bench.stacks.on_{stack}")
    meter = Meter()
    module.run(getattr(module, task), meter, int(count), *args)
    meter.print_result()


if __name__ == "__main__":
    main(*sys.argv[1:])
