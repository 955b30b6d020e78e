"""The access log: one record for each answer, in the formats that programs for web servers read.

Clients choose the target and the fields. So what could be taken for another line or field is escaped.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from ...sockets.address import SocketAddress
from ...threads.journal import Journal
from ..messages.dates import MONTHS
from ..messages.heads import RequestHead

LogFormat: TypeAlias = Literal["common", "combined", "json"]

_journal = Journal("socket2.http.access")

_UNFIT = re.compile(r"[^ !#-\[\]-~]")


class AccessLog:
    """Logs answers to "socket2.http.access" at the level INFO."""

    def __init__(self, form: LogFormat) -> None:
        """Raises ValueError if there is no such format."""
        forms: dict[str, Callable[..., str]] = {"common": common, "combined": combined, "json": as_json}
        if form not in forms:
            raise ValueError(f"the format of a log must be one of {', '.join(forms)}, not {form!r}")
        self._line = forms[form]

    def note(
        self,
        head: RequestHead | None,
        client: SocketAddress,
        status: int,
        sent: int,
        seconds: float,
        is_complete: bool,
    ) -> None:
        """Log an answer. `head` is None for what was no request; `sent`: how many bytes of a body; `seconds`: it took.

        `status` is 0 if there is no answer, because the client has gone or the handler was cancelled. Never fails.
        """
        if _journal.wants(logging.INFO):
            host = client_of(client)
            about = {
                "client": host,
                "status": status,
                "sent_bytes": sent,
                "duration_s": seconds,
                "complete": is_complete,
            }
            line = self._line(head, host, status, sent, seconds, time.time(), is_complete)
            _journal.info("%s", line, about=about)


def client_of(address: SocketAddress) -> str:
    """Return the host of a client; "-" for a UNIX socket without a name."""
    if isinstance(address, tuple):
        return str(address[0])
    return str(address) or "-"


def escaped(text: str) -> str:
    r"""Return the text with \xHH for what could end a field or a line."""
    return _UNFIT.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def common(
    head: RequestHead | None, client: str, status: int, sent: int, seconds: float, at: float, is_complete: bool
) -> str:
    """Return a line in the common log format."""
    now = time.localtime(at)
    offset = now.tm_gmtoff // 60
    zone = f"{'-' if offset < 0 else '+'}{abs(offset) // 60:02}{abs(offset) % 60:02}"
    when = f"{now.tm_mday:02}/{MONTHS[now.tm_mon - 1]}/{now.tm_year}:{now.tm_hour:02}:{now.tm_min:02}:{now.tm_sec:02}"
    line = f"{head.method} {escaped(head.raw_target.decode('ascii'))} HTTP/1.{head.minor}" if head is not None else "-"
    return f'{escaped(client)} - - [{when} {zone}] "{line}" {status or "-"} {sent or "-"}'


def combined(
    head: RequestHead | None, client: str, status: int, sent: int, seconds: float, at: float, is_complete: bool
) -> str:
    """Return a line in the combined log format: the common one, with Referer and User-Agent."""
    fields = [head.fields.get(name, "-") if head is not None else "-" for name in ("referer", "user-agent")]
    line = common(head, client, status, sent, seconds, at, is_complete)
    return line + "".join(f' "{escaped(field or "")}"' for field in fields)


def as_json(
    head: RequestHead | None, client: str, status: int, sent: int, seconds: float, at: float, is_complete: bool
) -> str:
    """Return a line that is a JSON object."""
    facts: dict[str, Any] = {"time": round(at, 3), "client": client}
    if head is not None:
        facts |= {
            "method": head.method,
            "target": head.raw_target.decode("ascii"),
            "version": f"1.{head.minor}",
            "host": head.host.decode("latin-1"),
            "referer": head.fields.get("referer"),
            "user_agent": head.fields.get("user-agent"),
        }
    facts |= {"status": status or None, "sent_bytes": sent, "duration_s": round(seconds, 6), "complete": is_complete}
    return json.dumps(facts)
