"""How deep JSON is nested, found without parsing it."""

from __future__ import annotations

import re

_STRING = re.compile(rb'"(?:[^"\\]|\\.)*+"?', re.DOTALL)  # an open end too, or it is searched again and again


def is_deeper(value: bytes, most: int) -> bool:
    """Tell whether arrays and objects in `value` are nested more than `most` deep.

    >>> is_deeper(b"[" * 65 + b"]" * 65, 64), is_deeper(b'{"a": "[[["}', 1)
    (True, False)
    """
    if value.count(b"[") + value.count(b"{") <= most:
        return False
    depth = 0
    for mark in re.findall(rb"[\[\]{}]", _STRING.sub(b"", value)):
        depth += 1 if mark in b"[{" else -1
        if depth > most:
            return True
    return False
