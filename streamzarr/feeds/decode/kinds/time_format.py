"""The form of times in texts: a regular expression made of ``%Y %m %d`` and so on, or ISO 8601."""

from __future__ import annotations

import re
from functools import cache
from typing import Final

from streamzarr.errors import ConfigError

_DIRECTIVES: Final = {
    "Y": r"(?P<year>[0-9]{4})",
    "m": r"(?P<month>[0-9]{2})",
    "d": r"(?P<day>[0-9]{2})",
    "H": r"(?P<hour>[0-9]{2})",
    "M": r"(?P<minute>[0-9]{2})",
    "S": r"(?P<second>[0-9]{2})",
    "f": r"(?P<fraction>[0-9]+)",
    "z": r"(?P<offset>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?)",
    "%": "%",
}
DIGITS: Final = ("year", "month", "day", "hour", "minute", "second", "fraction")

ISO: Final = re.compile(
    _DIRECTIVES["Y"]
    + "-"
    + _DIRECTIVES["m"]
    + "-"
    + _DIRECTIVES["d"]
    + "(?:[Tt ]"
    + f"{_DIRECTIVES['H']}:{_DIRECTIVES['M']}(?::{_DIRECTIVES['S']}(?:[.,]{_DIRECTIVES['f']})?)?"
    + f"{_DIRECTIVES['z']}?)?"
)
"""A date, or date and time with any number of digits behind the second, with or without an offset."""


@cache
def pattern_of(format: str | None) -> re.Pattern[str]:  # noqa: A002
    """Return the pattern of a format; None: ISO 8601.

    >>> pattern_of("%Y%m%d %H%M%S%f").fullmatch("20200101 170000065")["fraction"]
    '065'

    Raises
    ------
    streamzarr.errors.ConfigError
        It has an unknown directive, one twice, or no date.
    """
    if format is None:
        return ISO
    parts, seen = [], set[str]()
    pieces = re.findall(r"%.?|[^%]+", format, re.DOTALL)
    for piece in pieces:
        if not piece.startswith("%"):
            parts.append(re.escape(piece))
            continue
        directive = piece[1:]
        if directive not in _DIRECTIVES or directive in seen - {"%"}:
            raise ConfigError(
                f"time format {format!r}: got {piece}, expected %{' %'.join(_DIRECTIVES)} once at most"
            )
        seen.add(directive)
        parts.append(_DIRECTIVES[directive])
    if not seen.issuperset("Ymd"):
        raise ConfigError(f"time format {format!r}: expected %Y, %m and %d in it")
    return re.compile("".join(parts))
