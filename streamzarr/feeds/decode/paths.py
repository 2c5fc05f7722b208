r"""Paths to values in a record: names and positions with dots between, as in ``data.bids.0``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Self

from streamzarr.errors import ConfigError
from streamzarr.feeds.decode.values import MISSING, Stray

WHOLE = "$."
"""Beginning of a path that is one of the message, and not of a record in it."""


@dataclass(frozen=True, slots=True)
class Path:
    r"""Where a value is. A dot in a name is written ``\.``.

    A step that is a number is a position where there is an array, and a name where there is an object.

    Examples
    --------
    >>> Path.of("data.bids.0").follow({"data": {"bids": [1.5, 1.25]}})
    1.5
    >>> Path.of("$.symbol"), Path.of(r"a\.b")
    (Path(steps=('symbol',), whole=True), Path(steps=('a.b',), whole=False))
    """

    steps: tuple[str, ...]
    whole: bool = False

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the path that is written so; raises :class:`~streamzarr.errors.ConfigError`."""
        whole = text.startswith(WHOLE)
        steps = tuple(step.replace("\\.", ".") for step in re.split(r"(?<!\\)\.", text[len(WHOLE) * whole :]))
        if not all(steps):
            raise ConfigError(f"path {text!r}: expected names with dots between, as in data.bids.0")
        return cls(steps, whole)

    def follow(self, value: Any, start: int = 0) -> Any:
        """Return what is there; MISSING, or what no path goes on in as a :class:`Stray`."""
        for step in self.steps[start:]:
            if isinstance(value, dict):
                value = _named(value, step)
            elif isinstance(value, list | tuple) and step.isdecimal():
                value = value[int(step)] if int(step) < len(value) else MISSING
            elif value is None or value is MISSING:
                return MISSING
            else:
                return Stray(value)
        return value


def _named(record: dict[Any, Any], step: str) -> Any:
    """Return what an object has under a name; MessagePack has numbers for names, too."""
    found = record.get(step, MISSING)
    return record.get(int(step), MISSING) if found is MISSING and step.isdecimal() else found
