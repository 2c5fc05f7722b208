"""From the values of all columns to the rows of the good messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamzarr.feeds.decode.base import Decoded
from streamzarr.feeds.decode.convert import Conversion
from streamzarr.feeds.decode.values import Values

Origin = NDArray[np.intp]


def assemble(
    conversions: Mapping[str, Conversion],
    values: Sequence[Values],
    origin: Origin | None,
    bad: Mapping[int, str],
    messages: int,
) -> Decoded:
    """Convert each column, and leave out the rows of messages that are bad.

    Parameters
    ----------
    conversions, values
        The columns, in one order.
    origin
        Message of each row; None: row i is of message i, and there are `messages` rows.
    bad
        Messages that are known to be bad, none of which has rows.
    """
    reasons = dict(bad)
    columns: dict[str, NDArray[Any]] = {}
    for (name, conversion), given in zip(conversions.items(), values, strict=True):
        columns[name], unfit = conversion(given)
        for row, reason in unfit.items():
            message = row if origin is None else int(origin[row])
            reasons.setdefault(message, _told(reason, row, origin))
    if len(reasons) > len(bad):
        keep = ~np.isin(np.arange(messages) if origin is None else origin, list(reasons))
        origin = np.flatnonzero(keep) if origin is None else origin[keep]
        columns = {name: column[keep] for name, column in columns.items()}
    return Decoded(columns, origin, dict(sorted(reasons.items())))


def joined(parts: Sequence[tuple[int, Decoded]], names: Sequence[str]) -> Decoded:
    """Return the rows of parts of a batch, each with the index of its first message, as one."""
    if len(parts) == 1 and parts[0][0] == 0:
        return parts[0][1]
    columns = {name: np.concatenate([part.columns[name] for _, part in parts]) for name in names}
    origin = [first + (np.arange(part.rows) if part.origin is None else part.origin) for first, part in parts]
    bad = {first + at: reason for first, part in parts for at, reason in part.bad.items()}
    return Decoded(columns, np.concatenate(origin).astype(np.intp, copy=False), bad)


def _told(reason: str, row: int, origin: Origin | None) -> str:
    """Return the reason with the number of the record, where its message has several."""
    if origin is None:
        return reason
    first, last = np.searchsorted(origin, origin[row]), np.searchsorted(origin, origin[row], side="right")
    return reason if last - first == 1 else f"record {row - first} of {last - first}: {reason}"
