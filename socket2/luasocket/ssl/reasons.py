"""Why TLS failed, in the words of LuaSec: OpenSSL's own, without what Python's `ssl` adds to them."""

from __future__ import annotations

import errno
import re
import ssl

from ..messages import Message, message_of

_PYTHONS = re.compile(r"(?:\[[^\]]*\] )?(?P<text>.*?)(?: \(_ssl\.c:\d+\))?", re.DOTALL)


def reason_of(error: OSError) -> Message:
    """Return the message for an error of TLS or of the socket below. Raises Busy, which is a mistake of the program."""
    if isinstance(error, BrokenPipeError):
        return Message("closed", errno.EPIPE)  # also after our own shutdown(), for which the engine has another text
    if not isinstance(error, ssl.SSLError):
        return message_of(error)
    if isinstance(error, ssl.SSLCertVerificationError):
        return Message("certificate verify failed")  # Python's text goes on, and says why
    if isinstance(error, ssl.SSLEOFError):
        return Message("unexpected eof while reading")  # the text is ours, if the stream below has ended
    found = _PYTHONS.fullmatch(str(error.strerror or error))
    return Message(found["text"] if found is not None else str(error))
