"""How several OS threads share one loop: one leads, one watches, the others sleep."""

from __future__ import annotations

from .canvas import Canvas


def draw() -> str:
    """Return the picture as SVG."""
    canvas = Canvas(
        "Four OS threads share one loop: its epoll descriptor, its ready queue and its timers. The leader polls and"
        " runs threads. The watcher looks every two milliseconds whether the leader is stuck. The others sleep.",
        660,
        340,
    )
    canvas.box(20, 10, 620, 96, "", "quiet")
    canvas.text(330, 28, "one loop", "middle", "head")
    for number, text in enumerate(
        ("epoll descriptor\nall sockets", "ready queue\nthreads that can run", "timers\ndeadlines")
    ):
        canvas.box(40 + number * 200, 42, 180, 52, text, "plain")
    for number, (text, kind) in enumerate(
        (
            ("OS thread 1\nleads: polls and\nruns threads", "ours"),
            ("OS thread 2\nwatches the leader\nevery 2 ms", "good"),
            ("OS thread 3\nsleeps", "plain"),
            ("OS thread 4\nsleeps", "plain"),
        )
    ):
        canvas.box(20 + number * 160, 170, 140, 70, text, kind)
    canvas.arrow((90, 170), (90, 109), text="polls, takes", side="right")
    for x, text in ((170, "takes the lead\nif a step blocks"), (330, "takes the\nwatcher's place")):
        canvas.arrow((x + 10, 205), (x - 8, 205))
        for line, words in enumerate(text.split("\n")):
            canvas.text(x, 260 + 17 * line, words, "middle", "note")
    canvas.text(
        330, 315, "A step that blocks delays itself. The other threads go on after one or two ticks.", "middle", "note"
    )
    return canvas.svg()
