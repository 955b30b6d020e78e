"""Which kinds of sockets there are: socket(2)."""

from __future__ import annotations

import errno

from .description import AF_INET, AF_INET6, AF_UNIX, DGRAM, RAW, SEQPACKET, STREAM, Description, fail
from .surroundings import Home
from .tcp import Tcp
from .udp import Udp
from .unixdatagrams import UnixDatagrams
from .unixstream import UnixStream

IPPROTO_TCP, IPPROTO_UDP = 6, 17


def new(host: Home, family: int, type: int, proto: int) -> Description:
    """Make a socket. Raises OSError: EAFNOSUPPORT, EPROTONOSUPPORT, ESOCKTNOSUPPORT."""
    made: Description
    if family in (AF_INET, AF_INET6):
        if type == STREAM and proto in (0, IPPROTO_TCP):
            made = Tcp(host, family)
        elif type == DGRAM and proto in (0, IPPROTO_UDP):
            made = Udp(host, family)
        elif type in (STREAM, DGRAM, RAW):
            fail(errno.EPROTONOSUPPORT)
        else:
            fail(errno.ESOCKTNOSUPPORT)
    elif family == AF_UNIX:
        if proto not in (0, AF_UNIX):
            fail(errno.EPROTONOSUPPORT)
        if type in (STREAM, SEQPACKET):
            made = UnixStream(host, type)
        elif type in (DGRAM, RAW):
            made = UnixDatagrams(host)
        else:
            fail(errno.ESOCKTNOSUPPORT)
    else:
        fail(errno.EAFNOSUPPORT)
    made.proto = proto
    return made
