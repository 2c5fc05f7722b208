"""Columns of what records say of themselves: offset, partition, topic, timestamp, key and headers. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate, chain
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streamzarr.errors import ConfigError
from streamzarr.feeds.columns import KEY, OFFSET, PARTITION, TIMESTAMP, TOPIC, ColumnSpec
from streamzarr.feeds.decode.convert import Conversion
from streamzarr.feeds.decode.texts import Texts
from streamzarr.feeds.decode.values import Values
from streamzarr.queue import Columns as Run

_FITTING: Final = {
    OFFSET: ("iu", "integers"),
    PARTITION: ("iu", "integers"),
    TIMESTAMP: ("iuM", "times or integers"),
    TOPIC: ("TUSO", "texts"),
}
"""Kinds of dtypes that can hold what a record says, and what they are called."""


class OfRecord:
    """One such column, by the rules of those in the values: exact, in range, never cut. Immutable.

    Raises
    ------
    streamzarr.errors.ConfigError
        The dtype cannot hold it, or what the column states contradicts the dtype.

    Examples
    --------
    >>> from streamzarr.queue import TopicPartition
    >>> run = Run(TopicPartition("ticks", 3), [7, 8], [b"20472.80", None], [b"", b""], None, [0, 0])
    >>> price = OfRecord(ColumnSpec("price", "i8", source="@key", decimals=2))
    >>> price(run)
    (array([2047280,       0]), {1: "column 'price' (@key): no value"})
    """

    def __init__(self, spec: ColumnSpec) -> None:
        kinds, what = _FITTING.get(spec.source, ("", ""))
        if kinds and spec.dtype.kind not in kinds:
            raise ConfigError(f"column {spec.name!r}: {spec.type_name} from {spec.source}, expected {what}")
        if spec.source == TIMESTAMP and spec.dtype.kind == "M":
            spec = replace(spec, unit="ms")
        self._spec, self._convert = spec, Conversion(spec)

    def __call__(self, run: Run) -> tuple[npt.NDArray[Any], dict[int, str]]:
        """Return the column for the records of a run, and of those that have no value the reason."""
        return self._convert(self._values(run))

    def _values(self, run: Run) -> Values:
        match self._spec.source:
            case source if source == OFFSET:
                return Values(run.offsets)
            case source if source == PARTITION:
                return Values(np.full(len(run), run.partition))
            case source if source == TIMESTAMP:  # a negative one says that there is none
                return Values(run.timestamps, run.timestamps < 0)
            case source if source == TOPIC:
                return self._texts([run.topic.encode()] * len(run))
            case source if source == KEY:
                return self._texts(run.keys)
        return self._texts([dict(headers).get(self._spec.header) for headers in run.headers])

    def _texts(self, found: Sequence[bytes | None]) -> Values:
        absent = np.fromiter((each is None for each in found), bool, len(found)) if None in found else None
        there = [each or b"" for each in found]
        if self._spec.dtype.kind == "O":
            return Values(there, absent)
        ends = np.fromiter(chain((0,), accumulate(map(len, there))), np.int64, len(there) + 1)
        return Values(Texts(np.frombuffer(b"".join(there), np.uint8), ends), absent)
