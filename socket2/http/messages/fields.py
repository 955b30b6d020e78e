"""Header and trailer fields: several of one name, in their order, with names of any case.

What we write is checked here: a name or value cannot contain a line end, and so cannot add a field or an answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TypeAlias

from .compiled import compiled

Text: TypeAlias = str | bytes
Given: TypeAlias = "Mapping[str, str] | Fields | Iterable[tuple[Text, Text]]"
"""What a caller may give as fields."""

_TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_UNFIT = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]").search

# Names that were checked before. Programs use few; the limit is for those that make them up.
_names: dict[Text, bytes] = {}
_NAMES_MAX = 1024


def field_name(name: Text) -> bytes:
    """Return the name in lower case. Raises ValueError if it cannot be one; TypeError if it is no text."""
    known = _names.get(name)
    if known is not None:
        return known
    octets = _octets(name, "name")
    if not _TOKEN(octets):
        raise ValueError(f"not a name of a field: {name!r}")
    octets = octets.lower()
    if len(_names) < _NAMES_MAX:
        _names[name] = octets
    return octets


def field_value(value: Text) -> bytes:
    """Return the value without blanks around it. Raises ValueError if it cannot be one; TypeError if it is no text."""
    octets = _octets(value, "value")
    if _UNFIT(octets):
        raise ValueError(f"the value of a field must not contain control characters: {value!r}")
    return octets.strip(b" \t")


def _octets(text: Text, what: str) -> bytes:
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):
        raise TypeError(f"the {what} of a field must be str or bytes, not {text!r}")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise ValueError(f"the {what} of a field has only characters of Latin-1, or is bytes: {text!r}") from None


def pairs_of(given: Given) -> list[tuple[bytes, bytes]]:
    """Return checked names and values. Raises ValueError, TypeError."""
    if isinstance(given, Fields):
        return given.raw
    items = given.items() if isinstance(given, Mapping) else given
    return [(field_name(name), field_value(value)) for name, value in items]


def _received_pairs(block: bytes) -> list[tuple[bytes, bytes]]:
    """Return the names, in lower case, and the values in the checked lines of a head."""
    parts = [line.partition(b":") for line in block.split(b"\r\n")]
    return [(name.lower(), value.strip(b" \t")) for name, colon, value in parts if colon]


received_pairs: Callable[[bytes], list[tuple[bytes, bytes]]] = (
    compiled.pairs if compiled is not None else _received_pairs
)


def block_of(pairs: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return checked names and values as the lines of a head, without the empty line behind them."""
    return b"".join([b"%b: %b\r\n" % pair for pair in pairs])


def elements(value: bytes) -> list[bytes]:
    """Return the elements of a comma-separated list in lower case, without empty ones. Not for quoted texts."""
    return [element for part in value.lower().split(b",") if (element := part.strip(b" \t"))]


class Fields:
    """The fields of a head, or trailers. Names are case-insensitive, and several fields may have one name.

    `given`: a dict, or pairs of a name and a value. Text is str of Latin-1, or bytes. Raises ValueError if a name or
    value contains what it cannot, such as a line end; TypeError if one is no text.

    `fields[name]` is the value. If several fields have that name, their values are joined with ", ", which means the
    same; only for Set-Cookie it is the first value. Setting it replaces all of them.
    """

    __slots__ = ("_block", "_pairs")

    def __init__(self, given: Given = ()) -> None:
        self._block = b""  # lines that were received and are not split yet
        self._pairs = list(pairs_of(given))

    @classmethod
    def received(cls, block: bytes) -> Fields:
        """Make them of the checked lines of a head, when they are asked for. For the other rooms of socket2."""
        fields = cls.__new__(cls)
        fields._block = block
        fields._pairs = []
        return fields

    @property
    def raw(self) -> list[tuple[bytes, bytes]]:
        """The names, in lower case, and the values, as bytes, in their order. Do not change the list."""
        if block := self._block:
            # The list is complete before others see it: a signal handler may raise, another OS thread may ask as well.
            self._pairs = received_pairs(block)
            self._block = b""
        return self._pairs

    def get_all(self, name: str) -> list[str]:
        """Return the values of all fields with this name, in their order."""
        wanted = name.lower().encode("latin-1", "replace")
        return [value.decode("latin-1") for key, value in self.raw if key == wanted]

    def get(self, name: str, default: str | None = None) -> str | None:
        """Return the value, or `default` if there is no field with this name."""
        values = self.get_all(name)
        if not values:
            return default
        return values[0] if len(values) == 1 or name.lower() == "set-cookie" else ", ".join(values)

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and bool(self.get_all(name))

    def add(self, name: Text, value: Text) -> None:
        """Add a field behind the others. Raises ValueError, TypeError."""
        self.raw.append((field_name(name), field_value(value)))

    def __setitem__(self, name: Text, value: Text) -> None:
        key, octets = field_name(name), field_value(value)
        self._pairs = [pair for pair in self.raw if pair[0] != key]
        self._pairs.append((key, octets))

    def __delitem__(self, name: str) -> None:
        wanted = field_name(name)
        kept = [pair for pair in self.raw if pair[0] != wanted]
        if len(kept) == len(self._pairs):
            raise KeyError(name)
        self._pairs = kept

    def items(self) -> list[tuple[str, str]]:
        """Return all names and values in their order."""
        return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in self.raw]

    def keys(self) -> list[str]:
        """Return each name once, in lower case, in the order of their first fields."""
        return list(dict.fromkeys(name.decode("latin-1") for name, _ in self.raw))

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        """How many fields there are."""
        return len(self.raw)

    def copy(self) -> Fields:
        """Return fields that can be changed without changing these."""
        copied = Fields()
        copied._pairs = list(self.raw)
        return copied

    def __eq__(self, other: object) -> bool:
        return self.raw == other.raw if isinstance(other, Fields) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Fields({self.items()!r})"
