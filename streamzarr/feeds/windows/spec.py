"""What windows of a feed are told: their kind, key, lateness and bounds, and the fields of their rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from streamzarr.errors import ConfigError
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.grid.spec import How, Output, outputs_of
from streamzarr.feeds.meaning import WINDOW
from streamzarr.feeds.windows.values import result
from streamzarr.flow.windows import Bound, Fixed, Session, Sliding, Window
from streamzarr.stream import Field

BEGIN: Final = "begin"
END: Final = "end"
COUNT: Final = "count"
"""How many rows of records are in a window."""

Kind: TypeAlias = Fixed | Sliding | Session
Accumulator: TypeAlias = tuple[Any, ...]
"""The count of rows, and a state for each output."""
Closed: TypeAlias = tuple[str, Window, Accumulator]
"""A key, its window, and what is in it."""


@dataclass(frozen=True, slots=True)
class WindowSpec:
    """Windows of a feed, checked.

    Examples
    --------
    >>> columns = {"t": ColumnSpec("t", "M8[ms]"), "bid": ColumnSpec("bid", "f8")}
    >>> spec = WindowSpec("t", Fixed("1min"), None, 0, 10**12, None, Bound(), {"bid": "mean"})
    >>> [*spec.schema(columns)]
    ['begin', 'end', 'count', 'bid', 'bid_count']
    """

    time: str
    """The column with the time of a record."""
    kind: Kind
    key: str | None
    """The column with its key; None: all records are of one."""
    lateness: int
    """Nanoseconds by which a window stays open behind its end."""
    ahead: int
    """Nanoseconds by which a record may be ahead of the clock; and of all before it, unless its time is about
    that of the record itself."""
    idle: float | None
    """Seconds of silence after which windows are closed; None: they stay open."""
    bound: Bound
    """How many windows may be open at a time, and of how many bytes."""
    values: Mapping[str, How]

    @property
    def clock_reach(self) -> int:
        """Nanoseconds by which a record may be ahead of the clock: so much that windows close meanwhile."""
        return self.ahead + self.lateness

    def outputs(self, columns: Mapping[str, ColumnSpec]) -> list[Output]:
        """Return the fields that are made of values; raises as ``outputs_of``."""
        return outputs_of(columns, self.values, self.time, self.key, {BEGIN, END, COUNT}, "window")

    def schema(self, columns: Mapping[str, ColumnSpec]) -> dict[str, Field]:
        """Return the fields of the stream; raises as :meth:`outputs`."""
        outputs = self.outputs(columns)
        if self.key in (BEGIN, END, COUNT, *(each.name for each in outputs)):
            raise ConfigError(f"the key is {self.key!r}, as another field; give its column another name")
        return {
            BEGIN: Field("M8[ns]", sorted=not isinstance(self.kind, Session)),
            END: Field("M8[ns]", sorted=True, attributes={WINDOW: repr(self.kind)}),
            **({} if self.key is None else {self.key: Field("string")}),
            COUNT: Field("u4"),
            **{
                each.name: Field(each.dtype, fill_value=each.fill, attributes=each.attributes)
                for each in outputs
            },
        }

    def rows(self, closed: Sequence[Closed], outputs: Sequence[Output]) -> dict[str, Any]:
        """Return windows that are closed as rows of the stream."""
        keys = np.array([key for key, _, _ in closed], np.dtypes.StringDType())
        return {
            BEGIN: np.array([window.start for _, window, _ in closed], "M8[ns]"),
            END: np.array([window.stop for _, window, _ in closed], "M8[ns]"),
            **({} if self.key is None else {self.key: keys}),
            COUNT: np.array([held[0] for _, _, held in closed], "u4"),
            **{
                each.name: result(each, [held[place] for _, _, held in closed])
                for place, each in enumerate(outputs, start=1)
            },
        }
