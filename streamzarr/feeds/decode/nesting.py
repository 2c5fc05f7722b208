"""How deep JSON is nested, found without parsing it."""

from __future__ import annotations

import re
from typing import Final

import numpy as np

_ESCAPED: Final = re.compile(rb"\\.", re.DOTALL)
_QUOTE: Final = 2
_MARKS: Final = np.zeros(256, np.int8)
_MARKS[list(b"[{")], _MARKS[list(b"]}")], _MARKS[ord('"')] = 1, -1, _QUOTE


def is_deeper(value: bytes, most: int) -> bool:
    r"""Tell whether arrays and objects in `value` are nested more than `most` deep.

    >>> is_deeper(b"[" * 65 + b"]" * 65, 64), is_deeper(b'{"a": "[[["}', 1), is_deeper(rb'["\"", [[]]]', 2)
    (True, False, True)
    """
    if value.count(b"[") + value.count(b"{") <= most:
        return False
    if b"\\" in value:
        value = _ESCAPED.sub(b"", value)
    marks = _MARKS[np.frombuffer(value, np.uint8)]
    marks = marks[marks != 0]
    quotes = marks == _QUOTE
    within = (np.cumsum(quotes, dtype=np.uint8) & 1).view(bool) | quotes
    return int(np.cumsum(np.where(within, 0, marks), dtype=np.int32).max(initial=0)) > most
