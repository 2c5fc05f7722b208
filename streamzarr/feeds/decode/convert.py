"""From the values that a format gave to the column that the feed wants; of bad values, why."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamzarr.errors import ConfigError
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.kinds import kind_of
from streamzarr.feeds.decode.kinds.base import Unfit, shown, undecided
from streamzarr.feeds.decode.kinds.times import Times
from streamzarr.feeds.decode.values import MISSING, Given, LocalTimes, Values


class Conversion:
    """What is done with the values of one column. Immutable: any thread may call it.

    Examples
    --------
    >>> bid = Conversion(ColumnSpec("bid", "f8", source="quote.b"))
    >>> column, bad = bid(Values.of([1.5, "1.25", None, "x"]))
    >>> column[:2], bad
    (array([1.5 , 1.25]), {3: "column 'bid' (quote.b): got the text 'x', expected a number",
                           2: "column 'bid' (quote.b): no value"})

    Raises
    ------
    streamzarr.errors.ConfigError
        What the column states contradicts its dtype.
    """

    def __init__(self, spec: ColumnSpec) -> None:
        self.spec = spec
        self.kind = kind_of(spec)
        self._fill = self.kind.empty if spec.fill is None else self._stated("fill", spec.fill)
        held, self._texts = self._sentinels()
        self._sentinel_rows = np.array(held, self.kind.dtype) if held else None
        self.where = f"column {spec.name!r}" + (f" ({spec.path})" if spec.path != spec.name else "")

    def __call__(self, values: Values) -> tuple[NDArray[Any], dict[int, str]]:
        """Return the column, and of each row that has no value the reason."""
        column, unsure = self._many(values.data)
        if values.absent is None and self._sentinel_rows is None and not unsure.any():
            return column, {}
        absent = np.zeros(len(values), bool) if values.absent is None else values.absent.copy()
        bad: dict[int, str] = {}
        if (unsure & ~absent).any():
            column = np.array(column)
            for row in np.flatnonzero(unsure & ~absent).tolist():
                self._one(values.item(row), row, column, absent, bad)
        if self._sentinel_rows is not None:
            absent |= np.isin(column, self._sentinel_rows) & ~absent
            if self.kind.dtype.kind == "f" and np.isnan(self._sentinel_rows).any():
                absent |= np.isnan(column)
        if absent.any():
            if self.spec.required:
                bad.update(dict.fromkeys(np.flatnonzero(absent).tolist(), f"{self.where}: no value"))
            else:
                column = np.array(column)
                column[absent] = self._fill
        return column, bad

    def _many(self, data: Given | LocalTimes) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        if not isinstance(data, LocalTimes):
            return self.kind.many(data)
        if isinstance(self.kind, Times):
            return self.kind.many_local(data.times)
        return undecided(len(data), self.kind.dtype)

    def _one(
        self, value: Any, row: int, column: NDArray[Any], absent: NDArray[np.bool_], bad: dict[int, str]
    ) -> None:
        if value is None or value is MISSING or (isinstance(value, str) and value in self._texts):
            absent[row] = True
            return
        try:
            column[row] = self.kind.one(value)
        except Unfit as unfit:
            bad[row] = f"{self.where}: got {shown(value)}, expected {unfit}"

    def _sentinels(self) -> tuple[list[Any], frozenset[str]]:
        """Return what stands for no value: as the column holds it, and texts that it cannot hold."""
        held, texts = [], []
        for each in self.spec.missing:
            try:
                held.append(self.kind.one(each))
            except Unfit:
                if not isinstance(each, str):
                    raise ConfigError(
                        f"column {self.spec.name!r}: missing={each!r}, expected a text, or what "
                        f"{self.spec.dtype} can hold"
                    ) from None
                texts.append(each)
        return held, frozenset(texts)

    def _stated(self, option: str, value: Any) -> Any:
        try:
            return self.kind.one(value)
        except Unfit as unfit:
            raise ConfigError(f"column {self.spec.name!r}: {option}={value!r}, expected {unfit}") from None
