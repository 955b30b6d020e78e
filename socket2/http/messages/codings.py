"""Content codings: which ones a client accepts. RFC 9110, 12.5.3."""

from __future__ import annotations

import re

from .fields import Fields

_WEIGHT = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)", re.ASCII | re.IGNORECASE).fullmatch


def acceptable(fields: Fields, offered: tuple[str, ...]) -> list[str]:
    """Return those of the `offered` codings that the client accepts, the one that it prefers first.

    Between equals the order of `offered` decides. "x-gzip" means "gzip". Without Accept-Encoding, none: a client that
    knows any says so.
    """
    weights: dict[str, float] = {}
    for element in (fields.get("accept-encoding") or "").lower().split(","):
        coding, *parameters = [part.strip(" \t") for part in element.split(";")]
        weight = 1.0
        for parameter in parameters:
            found = _WEIGHT(parameter)
            weight = float(found[1]) if found else 0.0
        weights["gzip" if coding == "x-gzip" else coding] = weight
    other = weights.get("*", 0.0)
    plain = weights.get("identity", 0.0)
    wanted = [(weights.get(coding, other), -place, coding) for place, coding in enumerate(offered)]
    return [coding for weight, _, coding in sorted(wanted, reverse=True) if weight > 0 and weight >= plain]
