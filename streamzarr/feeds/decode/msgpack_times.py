"""Times of MessagePack itself, exact to the nanosecond: msgspec rounds them to microseconds."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
from msgspec import Raw
from msgspec.msgpack import Decoder, Ext

from streamzarr.feeds.decode.typed import TypedLayout
from streamzarr.feeds.decode.values import MISSING

_TIME: Final = -1
"""The extension that is a time."""
_FINE: Final = re.compile(rb"[\xd7\x08\x0c]\xff")
"""In each message with a time that is finer than a second, and perhaps in others."""
_EXTENSIONS: Final = frozenset(b"\xd7\xc7\xc8\xc9")
"""First bytes of extensions that may be such times."""
_ARRAYS: Final = frozenset((*range(0x90, 0xA0), 0xDC, 0xDD))
_OBJECTS: Final = frozenset((*range(0x80, 0x90), 0xDE, 0xDF))
_UNITS: Final[dict[Any, int]] = {"ns": 10**9, "us": 10**6, "ms": 1000, "s": 1}


class ExactTimes:
    """Decodes messages for columns of times. Immutable: any thread may use it.

    Parameters
    ----------
    decode
        Decodes messages for `layout`, with times that are rounded.
    hook
        What msgspec asks for other extensions.
    """

    def __init__(
        self, layout: TypedLayout, decode: Callable[[bytes], Any], hook: Callable[[int, memoryview], Any]
    ) -> None:
        self._decode = decode
        self._value = Decoder(ext_hook=hook).decode
        self._array = Decoder(list[Raw]).decode
        self._object = Decoder(dict[Any, Raw], ext_hook=hook).decode
        self._extension = Decoder(Ext).decode
        self._depths = _depths(layout)
        self._attributes = {}
        if layout.has_structs:
            self._attributes = {layout.attribute(name): depth for name, depth in self._depths.items()}
            kind = layout.message_type_with(dict.fromkeys(self._depths, Raw))
            self._parts = Decoder(kind, ext_hook=hook).decode

    def __call__(self, message: bytes) -> Any:
        """Return the object of a message."""
        if b"\xff" not in message or not self._depths or not _FINE.search(message):
            return self._decode(message)
        if not self._attributes:
            return self._exact(message, max(self._depths.values()))
        found = self._parts(message)
        for record in found if isinstance(found, list) else [found]:
            for attribute, depth in self._attributes.items():
                if (raw := getattr(record, attribute)) is not MISSING:
                    setattr(record, attribute, self._exact(bytes(raw), depth))
        return found

    def all(self, messages: Sequence[bytes]) -> list[Any]:
        """Return the objects of messages, most of which have no such times."""
        if not self._depths or not _FINE.search(b"".join(messages)):
            return list(map(self._decode, messages))
        return list(map(self, messages))

    def _exact(self, data: bytes, depth: int) -> Any:
        """Return a value; times are exact in so many arrays and objects within each other."""
        if not _FINE.search(data):
            return self._value(data)
        if depth and data[0] in _ARRAYS:
            return [self._exact(bytes(each), depth - 1) for each in self._array(data)]
        if depth and data[0] in _OBJECTS:
            return {name: self._exact(bytes(each), depth - 1) for name, each in self._object(data).items()}
        if data[0] in _EXTENSIONS:
            extension = self._extension(data)
            if extension.code == _TIME and (time := _time(bytes(extension.data))) is not None:
                return time
        return self._value(data)


def _depths(layout: TypedLayout) -> dict[str, int]:
    """Return how deep times are below each name of a struct; or, where there are none, below the message."""
    above = len(layout.records) + 1 if isinstance(layout.records, tuple) else 1
    found: dict[str, int] = {}
    for column, path in layout.paths.items():
        if layout.conversions[column].kind.dtype.kind == "M":
            steps, name = len(path.steps), path.steps[0]
            depth = steps - 1 if layout.has_structs else steps + (0 if path.whole else above)
            found[name] = max(depth, found.get(name, 0))
    return found


def _time(data: bytes) -> np.datetime64 | None:
    """Return the time of an extension, in the finest unit that holds it; None: msgspec shall say what it is.

    >>> _time(bytes(4) + (-1).to_bytes(8, "big", signed=True)), _time(bytes(4))
    (np.datetime64('1969-12-31T23:59:59.000000000'), None)
    """
    if len(data) == 8:
        packed = int.from_bytes(data, "big")
        seconds, nanoseconds = packed & (2**34 - 1), packed >> 34
    elif len(data) == 12:
        seconds = int.from_bytes(data[4:], "big", signed=True)
        nanoseconds = int.from_bytes(data[:4], "big")
    else:
        return None
    if nanoseconds >= 10**9:
        return None
    for unit, per in _UNITS.items():
        count = seconds * per + nanoseconds * per // 10**9
        if -(2**63) < count < 2**63:
            return np.datetime64(count, unit)
    return None
