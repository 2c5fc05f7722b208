"""How much state windows may hold, and what happens then."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np

from streamzarr.flow.arguments import checked, integer, nbytes, one_of
from streamzarr.options import parse_bytes

AtBound: TypeAlias = Literal["fail", "early"]
OVERHEAD: Final = 1400
"""Bytes that an accumulator costs beside its value and key: measured, about."""
_FLAT: Final = frozenset({int, float, str, bytes, bool, type(None)})
_DEEP: Final = 4


@checked("windows.Bound", keys=integer(1), nbytes=nbytes, then=one_of(*get_args(AtBound)))
@dataclass(frozen=True, slots=True)
class Bound:
    """At most so many accumulators (a key in a window) of so many bytes in all.

    At the bound ``"fail"`` lets no message in that would make the state larger: it fails with a
    ``LimitExceededError`` and so reaches the dead letters. ``"early"`` makes room: the oldest windows give
    what they have, marked ``early`` and ``partial``, and are forgotten.

    Examples
    --------
    >>> Bound(keys=1000, nbytes="64MB", then="early").max_bytes
    64000000
    """

    keys: int = 1_000_000
    nbytes: int | str = "256MB"
    then: AtBound = "fail"

    @property
    def max_bytes(self) -> int:
        """`nbytes` as a number."""
        return parse_bytes(self.nbytes)


def estimate(value: Any, depth: int = 0) -> int:
    """Return about how many bytes `value` takes, in constant time: of a container few elements are looked at.

    >>> estimate(np.zeros(1000)) > 8000, estimate([1.0] * 1000) > 8000
    (True, True)
    """
    if type(value) in _FLAT:
        return sys.getsizeof(value)
    if isinstance(value, np.ndarray):
        return value.nbytes + 112
    size = sys.getsizeof(value)
    if depth == _DEEP:
        return size
    if isinstance(value, dict):
        ends = next(iter(value.items()), ())
        return size + len(value) * sum(estimate(end, depth + 1) for end in ends)
    if isinstance(value, list | tuple):
        if not value:
            return size
        return size + len(value) * (estimate(value[0], depth + 1) + estimate(value[-1], depth + 1)) // 2
    if isinstance(value, set | frozenset):
        return size + len(value) * estimate(next(iter(value), None), depth + 1)
    return size + estimate(vars(value), depth + 1) if hasattr(value, "__dict__") else size
