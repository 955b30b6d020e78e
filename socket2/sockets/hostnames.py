"""Host names with letters beyond ASCII, in the form that name services and certificates have: IDNA.

The package `idna` knows the current standard, IDNA 2008 (RFC 5891) with the mapping of UTS 46, as browsers use it. The
standard library knows only IDNA 2003 (RFC 3490), and is used where the package is not installed. Knows no addresses.
"""

from __future__ import annotations

import re

# What both standards take for a dot between labels: RFC 3490, 3.1.
_DOTS = re.compile("[.\u3002\uff0e\uff61]")


def ascii_name(name: str) -> str:
    """Return a host name in ASCII: "bücher.example" becomes "xn--bcher-kva.example". A name in ASCII stays as it is.

    Raises UnicodeError, a ValueError, if it cannot be a host name.
    """
    if name.isascii():
        return name
    try:
        return _by_package(name)
    except ImportError:
        pass
    except UnicodeError as error:
        raise UnicodeError(f"{name!r} is not a valid host name: {error}") from None
    try:
        return name.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise UnicodeError(f"{name!r} is not a valid host name: {error}") from None


def _by_package(name: str) -> str:
    import idna  # optional, slow to load, and needed only here

    # Only labels beyond ASCII are checked: the others may have characters such as "_".
    labels = _DOTS.split(idna.uts46_remap(name, std3_rules=False))
    return ".".join(label if label.isascii() else idna.alabel(label).decode("ascii") for label in labels)
