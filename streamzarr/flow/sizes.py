"""Sizes that come from users' functions: what they say is added up, and has to come out even."""

from __future__ import annotations

from operator import index
from typing import Any

from streamzarr.errors import StreamzarrError


def checked_nbytes(nbytes: Any, name: str, error: type[StreamzarrError]) -> int:
    """Return the bytes that the function `name` has returned, as a plain ``int``, or raise an `error`.

    Examples
    --------
    >>> from streamzarr.errors import ConfigError
    >>> checked_nbytes(80, "size_of", ConfigError)
    80
    >>> checked_nbytes(0.5, "size_of", ConfigError)
    Traceback (most recent call last):
    ...
    streamzarr.errors.ConfigError: size_of returned 0.5 bytes, expected an integer of at least 0
    """
    try:
        checked = int(index(nbytes))
    except TypeError:
        checked = -1
    if checked < 0:
        raise error(f"{name} returned {nbytes!r} bytes, expected an integer of at least 0")
    return checked
