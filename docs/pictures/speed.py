"""The CPU time of an echo in each library, from the newest results of `python -m bench echo`."""

from __future__ import annotations

import json
from pathlib import Path

from .canvas import Canvas

_RESULTS = Path(__file__).parents[2] / "bench" / "results"

# The rows of the results that are shown, and what people call them. Others would repeat these.
_NAMES = {
    "c": "C on epoll",
    "socket2-native-async": "socket2",
    "socket2-native-net": "socket2.net",
    "uvloop-protocol": "uvloop, protocols",
    "asyncio-protocol": "asyncio, protocols",
    "socket2-generator": "socket2, no C code",
    "uvloop-streams": "uvloop, streams",
    "asyncio-streams": "asyncio, streams",
    "curio-sockets": "curio",
    "gevent-sockets": "gevent",
    "trio-streams": "trio",
}


def measured() -> dict[str, float]:
    """Return the CPU time per request of each server, as a multiple of C's: the median of some rounds."""
    newest = max(_RESULTS.glob("echo-*.json"))
    rows = json.loads(newest.read_text())["cases"][0]["rows"]
    ratios = {row["name"]: row["ratios"]["cpu_us_per_request"]["median"] for row in rows if row["state"] == "measured"}
    return {shown: ratios[name] for name, shown in _NAMES.items() if name in ratios}


def draw() -> str:
    """Return the picture as SVG."""
    found = sorted(measured().items(), key=lambda item: item[1])
    row, left, unit = 26, 150, 430 / max(ratio for _, ratio in found)
    canvas = Canvas("CPU time per request of each server, as a multiple of a server in C", 640, len(found) * row + 30)
    for number, (name, ratio) in enumerate(found):
        y = number * row + 6
        ours = name.startswith("socket2")
        canvas.text(left - 10, y + 9, name, "end", "head" if ours else "")
        canvas.bar(left, y, ratio * unit, 18, "ours" if ours else "theirs")
        canvas.text(left + ratio * unit + 8, y + 9, f"{ratio:.2f}", kind="note")
    canvas.text(left, len(found) * row + 16, "CPU time per request, C = 1. Shorter is better.", kind="note")
    return canvas.svg()
