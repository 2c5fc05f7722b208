"""Decoders of formats whose messages are parsed one by one to objects of Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from streamzarr.errors import message_of, name_of
from streamzarr.feeds.decode.assemble import assemble, joined
from streamzarr.feeds.decode.base import Decoded, TooMuchError
from streamzarr.feeds.decode.layout import Layout
from streamzarr.feeds.decode.values import MISSING, Values

AT_ONCE_BYTES = 2 << 20
"""Bytes of messages that are objects at one time: empty arrays take up to 70 times the room."""
AT_ONCE = 16_384
"""Likewise their number."""
MAX_REASON = 300
"""Characters of what a parser says of a message, at most."""


class Malformed(Exception):  # noqa: N818 - says something of a message, and never leaves the decoders
    """A message that its format does not have; its text says why."""


class ObjectDecoder:
    """Parses each message, then converts by columns. Owned by one thread.

    Parameters
    ----------
    name
        Of the format.
    parse
        Makes an object of a message; raises :class:`Malformed`, or one of `failures`.
    layout
        Where in it records and columns are.
    failures
        What `parse` raises of its own on bad messages; ``RecursionError`` and ``MemoryError`` are among them.
    max_bytes
        Of a message.
    parse_all
        Makes a list of objects of messages, none too long, or raises what `parse` does of any of them.
    """

    def __init__(
        self,
        name: str,
        parse: Callable[[bytes], Any],
        layout: Layout,
        failures: tuple[type[Exception], ...],
        max_bytes: int,
        parse_all: Callable[[Sequence[bytes]], list[Any]] | None = None,
    ) -> None:
        self._parse_all = parse_all or (lambda values: list(map(parse, values)))
        self._name, self._parse, self.layout, self._max_bytes = name, parse, layout, max_bytes
        self._failures: tuple[type[Exception], ...] = (*failures, Malformed, RecursionError, MemoryError)

    def __call__(self, values: Sequence[bytes | None]) -> Decoded:
        """Return the rows of `values`."""
        parts, total = list[tuple[int, Decoded]](), 0
        for first, some in _pieces(values):
            parts.append((first, self._some(some)))
            total += parts[-1][1].nbytes
            TooMuchError.check(total, len(values))
        return joined(parts, list(self.layout.conversions)) if parts else self._some([])

    def look_at(self, values: Sequence[bytes | None]) -> list[Values]:
        """Return what some messages have for each column, before it is converted."""
        messages, _ = self._parsed(values)
        return self.layout.values(self.layout.find(messages))

    def _some(self, values: Sequence[bytes | None]) -> Decoded:
        messages, bad = self._parsed(values)
        found = self.layout.find(messages)
        bad |= found.bad
        return assemble(self.layout.conversions, self.layout.values(found), found.origin, bad, len(values))

    def _parsed(self, values: Sequence[bytes | None]) -> tuple[list[Any], dict[int, str]]:
        """Return an object for each message, MISSING for those that have none, and why."""
        if None not in values and max(map(len, values), default=0) <= self._max_bytes:  # type: ignore[arg-type]
            with suppress(*self._failures):  # of the first that is bad; then each is parsed by itself
                return self._parse_all(values), {}  # type: ignore[arg-type]
        messages: list[Any] = []
        bad = {}
        for index, value in enumerate(values):
            try:
                if value is None:
                    raise Malformed("no value")
                if len(value) > self._max_bytes:
                    raise Malformed(f"got {len(value)} bytes, expected {self._max_bytes} at most")
                messages.append(self._parse(value))
            except self._failures as error:
                messages.append(MISSING)
                bad[index] = _reason(self._name, error)
        return messages, bad


def _reason(name: str, error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"{name}: nested too deeply"
    said = " ".join(message_of(error, MAX_REASON).split())
    return f"{name}: {said or name_of(error)}"


def _pieces(values: Sequence[bytes | None]) -> Iterator[tuple[int, Sequence[bytes | None]]]:
    """Yield runs of messages that are not too much at a time, and where each begins."""
    sizes = np.fromiter((len(value or b"") for value in values), np.int64, len(values))
    ends = np.cumsum(sizes)
    first = 0
    while first < len(values):
        before = ends[first] - sizes[first]
        stop = max(first + 1, int(np.searchsorted(ends, before + AT_ONCE_BYTES, side="right")))
        stop = min(stop, first + AT_ONCE)
        yield first, values[first:stop]
        first = stop
