"""How long a field of CSV may be."""

from __future__ import annotations

import csv


def allow_long_fields(most: int) -> None:
    """Let Python's reader take fields of so many characters.

    Its limit, of 128 KiB, is one for the whole process: it is only ever raised.

    Examples
    --------
    >>> allow_long_fields(1 << 20)
    >>> len(next(csv.reader(["x" * 1_000_000]))[0])
    1000000
    """
    csv.field_size_limit(max(csv.field_size_limit(), most))
