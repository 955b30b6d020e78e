"""Run one module of CPython's own test_asyncio on a loop, with the bodies of its cases untouched.

    python -m tests.guests.examined.cases LOOP MODULE

LOOP is `asyncio` for asyncio's own loop, or the name of one of our pollers. Prints one JSON object. The process imports
nothing from the other tests, because it runs in interpreters that have only socket2.
"""

from __future__ import annotations

import asyncio
import faulthandler
import importlib
import json
import os
import sys
import unittest
from collections.abc import Iterator
from typing import Any

# Classes of test_events that say which selector asyncio's own loop has.
_OTHER_SELECTORS = {"SelectEventLoopTests", "PollEventLoopTests", "KqueueEventLoopTests"}


class Result(unittest.TextTestResult):
    """Writes the name of each case before it begins, so that one that hangs is known."""

    def startTest(self, test: unittest.TestCase) -> None:
        super().startTest(test)
        print("began", short(test), file=sys.stderr, flush=True)


def short(test: Any) -> str:
    return str(test.id()).split("test_asyncio.")[-1]


def each(suite: unittest.TestSuite) -> Iterator[unittest.TestCase]:
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from each(test)
        else:
            yield test


def use_our_loop(module: Any) -> None:
    from socket2.guests.asyncio import EventLoopPolicy, new_event_loop

    asyncio.set_event_loop_policy(EventLoopPolicy())
    for found in vars(module).values():
        for name in ("create_event_loop", "new_loop"):
            if isinstance(found, type) and name in vars(found):
                setattr(found, name, lambda self, *_: new_event_loop())


def main(loop: str, name: str) -> dict[str, Any]:
    module = importlib.import_module(f"test.test_asyncio.{name}")
    if loop != "asyncio":
        os.environ["SOCKET2_POLLER"] = loop
        use_our_loop(module)
    suite = unittest.TestSuite()
    for test in each(unittest.defaultTestLoader.loadTestsFromModule(module)):
        if type(test).__name__ not in _OTHER_SELECTORS:
            suite.addTest(test)
    kind: Any = Result
    result = unittest.TextTestRunner(stream=sys.stderr, verbosity=0, resultclass=kind).run(suite)
    bad = sorted({short(test) for test, _ in [*result.failures, *result.errors]})
    return {"run": result.testsRun, "skipped": len(result.skipped), "bad": bad}


if __name__ == "__main__":
    faulthandler.dump_traceback_later(float(os.environ.get("CASES_LIMIT_S", "300")), exit=True)
    print(json.dumps(main(sys.argv[1], sys.argv[2])), flush=True)
    os._exit(0)  # without what a failed case has left behind
