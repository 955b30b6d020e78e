"""Echo servers over TLS. They receive up to 64 KiB at a time if the stack allows it, and pause if the client does not
read. The argument is a PEM file with the key and the certificate. Settings of TLS are those of the ssl module: the
clients choose version, cipher suite and group.
"""

from __future__ import annotations

import ssl
import sys


def context() -> ssl.SSLContext:
    """Return the context of the stacks that have none of their own."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(sys.argv[1])
    return made
