"""Dates as HTTP writes them, in any locale. RFC 9110, 5.6.7.

The date of now is asked for with every answer, so it is made once a second.
"""

from __future__ import annotations

import re
import time
from calendar import timegm
from time import time as wall_clock

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_CLOCK = r"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
_MONTH = f"(?P<month>{'|'.join(MONTHS)})"
_FORMS = [
    re.compile(form, re.ASCII)
    for form in (
        rf"\w{{3}}, (?P<day>\d\d) {_MONTH} (?P<year>\d{{4}}) {_CLOCK} GMT",
        rf"\w{{6,9}}, (?P<day>\d\d)-{_MONTH}-(?P<year>\d\d) {_CLOCK} GMT",
        rf"\w{{3}} {_MONTH} (?P<day>[ \d]\d) {_CLOCK} (?P<year>\d{{4}})",
    )
]


def format_date(seconds: float) -> str:
    """Return a time of the wall clock, in seconds since 1970, as an IMF-fixdate: "Sun, 06 Nov 1994 08:49:37 GMT"."""
    year, month, day, hour, minute, second, weekday, _, _ = time.gmtime(seconds)
    return f"{_DAYS[weekday]}, {day:02} {MONTHS[month - 1]} {year:04} {hour:02}:{minute:02}:{second:02} GMT"


def parse_date(text: str) -> int | None:
    """Return the time of a date in any of the three forms, in seconds since 1970; None if it is none."""
    for form in _FORMS:
        if found := form.fullmatch(text.strip()):
            day, year = int(found["day"]), int(found["year"])
            if len(found["year"]) == 2:
                year = _century_of(year)
            hour, minute, second = int(found["hour"]), int(found["minute"]), int(found["second"])
            month = MONTHS.index(found["month"]) + 1
            seconds = timegm((year, month, day, hour, minute, min(second, 59)))
            at = time.gmtime(seconds)
            return seconds if (at.tm_mon, at.tm_mday, at.tm_hour, at.tm_min) == (month, day, hour, minute) else None
    return None


def _century_of(year: int) -> int:
    """Return the year with these two last digits that is at most 50 years in the future."""
    now = time.gmtime().tm_year
    full = now - now % 100 + year
    return full - 100 if full > now + 50 else full


_now = (0, b"")  # replaced as a whole: several OS threads may do it at the same time


def date_line() -> bytes:
    """Return the Date field of an answer that is sent now, with its end."""
    global _now
    second, line = _now
    now = int(wall_clock())
    if now != second:
        line = f"date: {format_date(now)}\r\n".encode("ascii")
        _now = (now, line)
    return line
