"""Runs commands as a pipeline, as a shell does, and prints how much data the last one wrote and how each one ended.

Shows children whose pipes are connected with each other, a standard input that is passed on to the first one, and a
result that is written to a file on a disk, in OS threads.

    $ python examples/pipeline.py --output evens.txt 'seq 10' 'grep [02468]$' 'head -n 2'
    4 bytes
    seq 10: ended with 0
    grep [02468]$: ended with 0
    head -n 2: ended with 0
"""

from __future__ import annotations

import argparse
import shlex
import signal
import sys
from contextlib import ExitStack
from subprocess import PIPE

import socket2


def ending(code: int) -> str:
    return f"ended with {code}" if code >= 0 else f"was killed by {signal.Signals(-code).name}"


async def run_pipeline(commands: list[str], output: str | None) -> int:
    """Run the commands. Return the exit code of the last one."""
    with ExitStack() as stack:
        children: list[socket2.Process] = []
        for command in commands:
            source = children[-1].stdout if children else None
            child = socket2.process(shlex.split(command), stdin=source, stdout=PIPE)
            children.append(stack.enter_context(child))
        written = 0
        if output is None:
            sink = socket2.stdout()
            async for piece in children[-1].stdout.chunks():
                await sink.sendall(piece)
        else:
            async with await socket2.open_file(output, "wb") as file:
                async for piece in children[-1].stdout.chunks():
                    written += await file.write(piece)
            print(f"{written} bytes")
        codes = [await child.wait() for child in children]
        for command, code in zip(commands, codes, strict=True):
            if output is not None or code != 0:
                print(f"{command}: {ending(code)}", file=sys.stdout if output is not None else sys.stderr)
        return codes[-1]


async def limited(commands: list[str], output: str | None, limit_s: float | None) -> int:
    with socket2.timeout(limit_s):
        return await run_pipeline(commands, output)


class Options(argparse.Namespace):
    output: str | None
    limit: float | None
    commands: list[str]


def main() -> int:
    parser = argparse.ArgumentParser(description="Run commands, each with the output of the one before as its input.")
    parser.add_argument("--output", metavar="PATH", help="write the result to this file")
    parser.add_argument("--limit", type=float, metavar="SECONDS", help="kill them all after this time")
    parser.add_argument("commands", nargs="+", metavar="COMMAND")
    args = parser.parse_args(namespace=Options())
    try:
        return socket2.run(limited, args.commands, args.output, args.limit)
    except TimeoutError:
        print(f"not finished after {args.limit:g} s", file=sys.stderr)
        return 124
    except OSError as error:
        print(error, file=sys.stderr)
        return 127
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
