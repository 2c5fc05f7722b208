"""When the records of a file were: a column of texts or numbers as times."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from streamzarr.errors import ConfigError
from streamzarr.feeds.columns import ColumnSpec, TimeUnit
from streamzarr.feeds.decode.convert import Conversion
from streamzarr.feeds.decode.values import Values


class Moments:
    """Reads the times of one column. Immutable.

    Examples
    --------
    >>> Moments("ts").of(["1970-01-01T00:00:01Z", "1970-01-01"], "ticks.csv", 0)
    [1000000000, 0]
    """

    def __init__(
        self,
        column: str,
        *,
        unit: TimeUnit | None = None,
        format: str | None = None,  # noqa: A002
        zone: str | None = None,
    ) -> None:
        self.column = column
        spec = ColumnSpec("time", "M8[ns]", source=column, unit=unit, format=format, zone=zone)
        self._convert = Conversion(spec)

    def of(self, values: Sequence[Any], file: str, first: int) -> list[int]:
        """Return nanoseconds since 1970; `first` is the number of the first record, for errors."""
        column, bad = self._convert(Values.of(values))
        for row, reason in bad.items():
            raise ConfigError(f"{file}: record {first + row}: {reason}; see --time-unit and --time-format")
        times: list[int] = np.asarray(column).view("i8").tolist()
        return times
