"""A request's way from the kernel to a handler and back."""

from __future__ import annotations

from .canvas import Canvas

_HANDLER, _LOOP, _KERNEL = 90, 330, 570


def draw() -> str:
    """Return the picture as SVG."""
    canvas = Canvas(
        "The handler asks for data. The loop tries recv at once and finds nothing, so the thread is parked and other"
        " threads run. When a request arrives, the kernel reports it, the loop tries again and resumes the handler. The"
        " answer goes out at the first try.",
        660,
        540,
    )
    for x, name, kind in ((_HANDLER, "your handler", "ours"), (_LOOP, "socket2", "ours"), (_KERNEL, "kernel", "plain")):
        canvas.box(x - 80, 6, 160, 34, name, kind)
        canvas.line(x, 40, x, 530, "lane")
    _step(canvas, 84, _HANDLER, _LOOP, "await conn.recv(65536)")
    _step(canvas, 112, _LOOP, _KERNEL, "try: recv(2)")
    _step(canvas, 140, _KERNEL, _LOOP, "nothing there (EAGAIN)")
    canvas.box(_LOOP - 110, 156, 220, 62, "the thread is parked\nother threads run,\nthen epoll_wait(2)", "quiet")
    _step(canvas, 250, _KERNEL, _LOOP, "a request has arrived")
    _step(canvas, 278, _LOOP, _KERNEL, "try again: recv(2)")
    _step(canvas, 306, _KERNEL, _LOOP, "the bytes")
    _step(canvas, 334, _LOOP, _HANDLER, "data")
    canvas.box(_HANDLER - 80, 348, 160, 34, "your code", "ours")
    _step(canvas, 414, _HANDLER, _LOOP, "await conn.sendall(...)")
    _step(canvas, 442, _LOOP, _KERNEL, "try: send(2)")
    _step(canvas, 470, _KERNEL, _LOOP, "all of it taken")
    _step(canvas, 498, _LOOP, _HANDLER, "returns, without a wait")
    return canvas.svg()


def _step(canvas: Canvas, y: float, start: float, end: float, text: str) -> None:
    canvas.arrow((start, y), (end, y), text=text)
