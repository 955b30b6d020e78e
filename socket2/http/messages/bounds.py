"""What a peer may cost: sizes and times, all limited unless the program says otherwise."""

from __future__ import annotations

from dataclasses import dataclass, fields

_MAY_BE_NONE = {"body_bytes", "head_s", "idle_s", "body_s", "send_s"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a peer may send, and how long it may take. None means no limit, where that is possible.

    `head_bytes`: the size of a head, with its request line and all fields; also that of the trailers. `head_fields`:
    how many fields a head or the trailers may have. `target_bytes`: the length of a request target. `head_s`: how many
    seconds a head may take from its first byte, or from the start of the connection. `idle_s`: how long a connection
    may wait for the next request.

    `body_bytes`: the size of a request's body. `body_s`, `body_rate`: how many seconds we wait for a body in all:
    `body_s`, and one more for each `body_rate` bytes that have come. `send_s`, `send_rate`: the same for each piece of
    the answer that the peer receives.

    `unread_bytes`: how much of a body that the handler has not read is received after the answer, so that the
    connection can be used again. If more would come, the connection is closed.

    Raises TypeError if a limit is not a number, ValueError if it is less than 1 or 0 (for `unread_bytes`: negative).
    """

    head_bytes: int = 16 * 1024
    head_fields: int = 100
    target_bytes: int = 8 * 1024
    head_s: float | None = 10.0
    idle_s: float | None = 60.0
    body_bytes: int | None = 16 * 1024 * 1024
    body_s: float | None = 60.0
    body_rate: int = 500
    send_s: float | None = 60.0
    send_rate: int = 500
    unread_bytes: int = 64 * 1024

    def __post_init__(self) -> None:
        for field in fields(self):
            name, value = field.name, getattr(self, field.name)
            if value is None and name in _MAY_BE_NONE:
                continue
            is_time = name.endswith("_s")
            if isinstance(value, bool) or not isinstance(value, (int, float) if is_time else int):
                kind = "a number of seconds" if is_time else "a whole number"
                raise TypeError(f"{name} must be {kind}, not {value!r}")
            least = 0 if name in ("unread_bytes", "body_bytes") else 1
            if not (value > 0 if is_time else value >= least):
                raise ValueError(f"{name} must be {'more than 0' if is_time else f'at least {least}'}, not {value!r}")
