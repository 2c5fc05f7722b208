"""Kinds of columns, and what each does with the values that a format gives."""

from __future__ import annotations

from typing import Any

import numpy as np

from streamzarr.errors import ConfigError
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.kinds.base import Kind
from streamzarr.feeds.decode.kinds.numbers import Booleans, Floats, Integers, Scaled
from streamzarr.feeds.decode.kinds.strings import Blobs, FixedStrings, Strings
from streamzarr.feeds.decode.kinds.time_format import pattern_of
from streamzarr.feeds.decode.kinds.times import NANOSECONDS, Times
from streamzarr.feeds.decode.kinds.zones import Zone

__all__ = ["Kind", "kind_of"]

MAX_DECIMALS = 18
"""Of a scaled integer: more, and no integer of 64 bits holds a one."""


def kind_of(spec: ColumnSpec) -> Kind:
    """Return the kind of a column.

    Raises
    ------
    streamzarr.errors.ConfigError
        No values of messages become its dtype, or what it states does not fit that.
    """
    dtype: np.dtype[Any] = spec.dtype
    letter = dtype.kind
    if spec.decimals is not None:
        if letter not in "iu" or not 0 <= spec.decimals <= MAX_DECIMALS:
            raise ConfigError(
                f"column {spec.name!r}: decimals={spec.decimals!r} and {spec.dtype}, expected 0 to "
                f"{MAX_DECIMALS} and an integer dtype"
            )
        return Scaled(dtype, spec.decimals)
    if letter in "mM":
        return _times(spec, dtype)
    if letter == "f" and dtype.itemsize <= 8:
        return Floats(dtype)
    if letter in "iu":
        return Integers(dtype)
    if letter == "b":
        return Booleans()
    if letter in "US":
        return FixedStrings(dtype)
    if letter == "T":
        return Strings(dtype)
    if letter == "O":
        return Blobs(dtype)
    raise ConfigError(
        f"column {spec.name!r}: {spec.dtype}, expected numbers, booleans, texts, bytes or times"
    )


def _times(spec: ColumnSpec, dtype: np.dtype[Any]) -> Times:
    own, _ = np.datetime_data(dtype)
    unit = spec.unit or own
    if own not in NANOSECONDS or unit not in NANOSECONDS:
        raise ConfigError(
            f"column {spec.name!r}: {spec.dtype} with unit {unit!r}, expected units {', '.join(NANOSECONDS)}"
        )
    zone = None if spec.zone in (None, "UTC") else Zone.of(str(spec.zone))
    return Times(dtype, unit, pattern_of(spec.format), zone, spec.unit is not None)
