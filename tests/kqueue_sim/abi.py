"""The numbers of <sys/event.h>, per system; `make test-headers` compares them with the systems' own headers.

CPython's select has only some of them, and so has the simulator. Tests take all others from this module.
"""

from __future__ import annotations

from types import MappingProxyType

_EVERYWHERE = {
    "EV_ADD": 0x1,
    "EV_DELETE": 0x2,
    "EV_ENABLE": 0x4,
    "EV_DISABLE": 0x8,
    "EV_ONESHOT": 0x10,
    "EV_CLEAR": 0x20,
    "EV_RECEIPT": 0x40,
    "EV_DISPATCH": 0x80,
    "EV_SYSFLAGS": 0xF000,
    "EV_ERROR": 0x4000,
    "EV_EOF": 0x8000,
    "NOTE_LOWAT": 0x1,
    "NOTE_FFAND": 0x40000000,
    "NOTE_FFOR": 0x80000000,
    "NOTE_FFCOPY": 0xC0000000,
    "NOTE_FFCTRLMASK": 0xC0000000,
    "NOTE_FFLAGSMASK": 0x00FFFFFF,
    "NOTE_TRIGGER": 0x01000000,
}

# A timer's unit without any of these is the millisecond.
_SYSTEMS = {
    "freebsd": (
        {"EVFILT_READ": -1, "EVFILT_WRITE": -2, "EVFILT_TIMER": -7, "EVFILT_USER": -11}
        | {"NOTE_SECONDS": 1, "NOTE_MSECONDS": 2, "NOTE_USECONDS": 4, "NOTE_NSECONDS": 8}
    ),
    "macos": (
        {"EVFILT_READ": -1, "EVFILT_WRITE": -2, "EVFILT_TIMER": -7, "EVFILT_USER": -10}
        | {"NOTE_SECONDS": 1, "NOTE_USECONDS": 2, "NOTE_NSECONDS": 4}
    ),
    "netbsd": (
        {"EVFILT_READ": 0, "EVFILT_WRITE": 1, "EVFILT_TIMER": 6, "EVFILT_USER": 8}
        | {"NOTE_SECONDS": 1, "NOTE_MSECONDS": 0, "NOTE_USECONDS": 2, "NOTE_NSECONDS": 3}
    ),
    "openbsd": (
        {"EVFILT_READ": -1, "EVFILT_WRITE": -2, "EVFILT_TIMER": -7, "EVFILT_USER": -10}
        | {"NOTE_SECONDS": 1, "NOTE_MSECONDS": 0, "NOTE_USECONDS": 2, "NOTE_NSECONDS": 3}
        | {"EV_SYSFLAGS": 0xF800}
    ),
}

ABI = MappingProxyType({system: MappingProxyType(_EVERYWHERE | its) for system, its in _SYSTEMS.items()})

# The widths of the fields of struct kevent, in bits. CPython lets some values wrap, and refuses others.
WIDTHS = {"ident": 64, "filter": 16, "flags": 16, "fflags": 32, "data": 64, "udata": 64}

# The names that CPython's select has.
IN_SELECT = (
    *("EVFILT_READ", "EVFILT_WRITE", "EVFILT_TIMER", "NOTE_LOWAT", "EV_SYSFLAGS", "EV_EOF", "EV_ERROR"),
    *("EV_ADD", "EV_DELETE", "EV_ENABLE", "EV_DISABLE", "EV_ONESHOT", "EV_CLEAR"),
)


def name_in_select(name: str) -> str:
    return "KQ_" + name.replace("EVFILT_", "FILTER_")
