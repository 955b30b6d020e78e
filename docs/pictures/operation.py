"""The life of an operation, from the call to its one end."""

from __future__ import annotations

from .canvas import Canvas


def draw() -> str:
    """Return the picture as SVG."""
    canvas = Canvas(
        "A call makes an operation. Awaiting it makes the first attempt. If that has an outcome, the operation is done."
        " If not, it is parked; an event leads to another attempt; a cancellation, a timeout or a close ends it.",
        660,
        400,
    )
    canvas.box(10, 20, 190, 56, "made\nnothing has happened", "quiet")
    canvas.box(250, 20, 160, 56, "attempt\none system call", "ours")
    canvas.box(500, 20, 150, 56, "done\nresult or error", "good")
    canvas.box(250, 170, 160, 56, "parked\nother threads run", "quiet")
    canvas.box(250, 320, 160, 56, "given up\nnothing consumed", "bad")
    canvas.box(10, 170, 190, 56, "dropped\na warning names the line", "bad")
    canvas.arrow((200, 48), (247, 48), text="await")
    canvas.arrow((410, 48), (497, 48), text="an outcome")
    canvas.arrow((290, 76), (290, 167), text="not\nready", side="left")
    canvas.arrow((370, 167), (370, 79), text="an event:\ntry again", side="right")
    canvas.arrow((330, 226), (330, 317), text="a timeout, a cancellation,\nor close()", side="right")
    canvas.arrow((105, 76), (105, 167), text="never\nawaited", side="right")
    return canvas.svg()
