"""Minus zero as JSON writes it without a point: msgspec takes it for an integer, which has no sign."""

from __future__ import annotations

import re
from typing import Final

_LIKELY: Final = re.compile(rb"-0(?=[,}\]\s]|\Z)")
_TOKENS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|(?<![eE])-0(?=[,}\]\s]|\Z)', re.DOTALL)
"""Texts, which may lack an end, so that nothing is looked at twice; and minus zero, but for exponents."""


def has_minus_zero(data: bytes) -> bool:
    """Tell whether minus zero may be in one of some messages."""
    return b"-0" in data and _LIKELY.search(data) is not None


def with_signs(message: bytes) -> bytes:
    """Return a message in which each minus zero is a float.

    >>> with_signs(b'{"x": -0, "s": "-0", "y": [1e-0, -0.5]}')
    b'{"x": -0.0, "s": "-0", "y": [1e-0, -0.5]}'
    """
    return _TOKENS.sub(_signed, message) if has_minus_zero(message) else message


def _signed(found: re.Match[bytes]) -> bytes:
    return b"-0.0" if found[0] == b"-0" else found[0]
