"""One value for each slot and key, out of several that come one after another; pure, by whole arrays."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streamzarr.feeds.grid.spec import Output

Array = npt.NDArray[Any]
Places = npt.NDArray[np.intp]
SAFE: Final = 2.0**62
"""A sum of integers that stays below has room in 64 bits."""


def within(totals: Array, dtype: np.dtype[Any]) -> Array:
    """Return sums of integers as `dtype` has them: what is beyond it is the least or the greatest.

    >>> within(np.array([2**63, -3], object), np.dtype("i8")).tolist() == [2**63 - 1, -3]
    True
    """
    bounds = np.iinfo(dtype)
    return np.minimum(np.maximum(totals, int(bounds.min)), int(bounds.max)).astype(dtype)


class Values:
    """The values of one field in the open slots: slots x keys.

    Examples
    --------
    >>> high = Values(Output("high", "bid", "max", np.dtype("f8"), np.nan, {}), keys=1)
    >>> high.grow(2)
    >>> high.fold(np.array([0, 0, 1]), np.array([1.5, 1.75, 1.25]))
    >>> high.result()
    array([[1.75],
           [1.25]])
    """

    def __init__(self, output: Output, keys: int) -> None:
        self._output, self._keys = output, keys
        self._values: Array = np.empty((0, keys), self._held)
        self._seen: npt.NDArray[np.int64] = np.empty((0, keys), np.int64)
        self._most = 0.0
        """No sum of integers is beyond this, on either side of zero."""

    @classmethod
    def of(cls, output: Output, result: Array, seen: npt.NDArray[Any]) -> Values:
        """Return slots that have a result already, of `seen` values each."""
        values = cls(output, result.shape[1])
        with _unwarned():
            counted = np.where(seen > 0, result, 0) * seen if output.how == "mean" else result
        values._values, values._seen = counted.astype(values._held), seen.astype(np.int64)
        if values._values.dtype.kind in "iu":
            values._most = _most(values._values)
        return values

    @property
    def _held(self) -> np.dtype[Any]:
        return np.dtype("f8") if self._output.how == "mean" else self._output.dtype

    def grow(self, slots: int, before: int = 0) -> None:
        """Have room for `slots` slots; `before` of the new ones come before all others."""
        more = slots - len(self._values)
        self._values = _padded(self._values, before, more - before)
        self._seen = _padded(self._seen, before, more - before)

    def fold(self, places: Places, values: Array) -> None:
        """Take values in, in the order in which they came; a float that is NaN is none.

        `places` counts through the slots, key by key.
        """
        if values.dtype.kind == "f" and np.isnan(values).any():
            there = ~np.isnan(values)
            places, values = places[there], values[there]
        if self._output.how == "sum" and values.dtype.kind in "iu":
            self._have_room(values)
        held, seen = self._values.reshape(-1), self._seen.reshape(-1)
        match self._output.how:
            case "last":
                held[places] = values  # of a place that comes twice numpy keeps the last
            case "first":
                first, index = np.unique(places, return_index=True)
                new = seen[first] == 0
                held[first[new]] = values[index[new]]
            case "sum" | "mean":
                with _unwarned():
                    np.add.at(held, places, values.astype(held.dtype))
            case "count":
                np.add.at(held, places, np.ones(len(places), held.dtype))
            case how:
                first, index = np.unique(places, return_index=True)
                new = seen[first] == 0
                held[first[new]] = values[index[new]]
                (np.maximum if how == "max" else np.minimum).at(held, places, values)
        np.add.at(seen, places, 1)

    def result(self) -> Array:
        """Return what the slots have; the fill value where there is nothing."""
        values = self._values
        if self._output.how == "mean":
            values = values / np.maximum(self._seen, 1)
        elif values.dtype.kind == "O":
            values = within(values, self._output.dtype)
        fill = 0 if self._output.fill is None else self._output.fill
        return np.where(self._seen > 0, values, np.asarray(fill, self._output.dtype)).astype(
            self._output.dtype
        )

    def close(self, slots: int) -> Array:
        """Remove the first slots, and return what they have."""
        closed = self.result()[:slots]
        self._values, self._seen = self._values[slots:].copy(), self._seen[slots:].copy()
        return closed

    def _have_room(self, values: Array) -> None:
        """Hold sums as Python's integers while they may be beyond 64 bits: more may come that is negative."""
        more = _most(values) * len(values)
        if self._most + more >= SAFE:
            more = float(np.abs(values.astype("f8")).sum())
            self._most = _most(self._values)
            self._values = self._values.astype(object if self._most + more >= SAFE else self._held)
        self._most += more


def _most(values: Array) -> float:
    """Return the greatest amount."""
    return float(max(values.max(initial=0), -int(values.min(initial=0))))


def _unwarned() -> np.errstate:
    """Let sums that no float holds be infinite, or NaN: a log has no place for numpy's opinion of them."""
    return np.errstate(over="ignore", invalid="ignore")


def _padded(values: Array, before: int, behind: int) -> Array:
    padded = np.zeros((before + len(values) + behind, *values.shape[1:]), values.dtype)
    padded[before : before + len(values)] = values
    return padded
