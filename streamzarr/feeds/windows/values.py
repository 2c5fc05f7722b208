"""What several values in a window come to: by states that can be put together, in any order. Pure.

A window gets its values in parts, as records come, and two sessions may become one. The state of a part is
plain data, None where there is no value, and what it comes to does not depend on how the values were divided.
The first and the last are those by time, and of one time by offset; sums of floats are exact until the end.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from streamzarr.feeds.grid.spec import Output
from streamzarr.feeds.grid.values import SAFE, within
from streamzarr.feeds.times import Numbers

State: TypeAlias = Any
"""Of the first and the last (time, offset, value); of a sum of floats a few whose sum it is; of a mean the
number of values, and such few; of a sum of integers beyond 64 bits two; else a number."""
_PER: Final = 2**62


@dataclass(frozen=True, slots=True)
class Parts:
    """Rows in order of time and offset within each of some parts, which come one after another."""

    number: npt.NDArray[np.intp]
    """The part that each row is in, ascending."""
    times: Numbers
    offsets: Numbers

    def states(self, output: Output, values: npt.NDArray[Any], count: int) -> list[State]:
        """Return the state of each of `count` parts; a float that is NaN is no value."""
        number, times, offsets = self.number, self.times, self.offsets
        if values.dtype.kind == "f" and np.isnan(values).any():
            there = ~np.isnan(values)
            number, times, offsets, values = number[there], times[there], offsets[there], values[there]
        found: list[State] = [None] * count
        if not len(values):
            return found
        parts, starts = np.unique(number, return_index=True)
        stops = np.append(starts[1:], len(values))
        for part, state in zip(
            parts.tolist(), _states(output, times, offsets, values, starts, stops), strict=True
        ):
            found[part] = state
        return found


def _states(
    output: Output,
    times: Numbers,
    offsets: Numbers,
    values: npt.NDArray[Any],
    starts: npt.NDArray[np.intp],
    stops: npt.NDArray[np.intp],
) -> Sequence[State]:
    found: list[State]
    spans = [slice(start, stop) for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)]
    match output.how:
        case "first" | "last":
            at = starts if output.how == "first" else stops - 1
            found = [*zip(times[at].tolist(), offsets[at].tolist(), values[at].tolist(), strict=True)]
        case "count":
            found = (stops - starts).tolist()
        case "min" | "max":
            of_all = np.minimum if output.how == "min" else np.maximum
            found = of_all.reduceat(values, starts).tolist()
        case "mean":
            floats = values.astype("f8").tolist()
            found = [(each.stop - each.start, *exact(floats[each])) for each in spans]
        case _ if output.dtype.kind == "f":
            floats = values.astype("f8").tolist()
            found = [exact(floats[each]) for each in spans]
        case _ if float(max(values.max(), -int(values.min()))) * len(values) < SAFE:
            found = np.add.reduceat(values.astype(output.dtype), starts).tolist()
        case _:
            found = [_state(sum(values[each].tolist())) for each in spans]
    return found


def joined(output: Output, one: State, other: State) -> State:
    """Return the state of two parts together.

    >>> output = Output("x", "x", "last", np.dtype("f8"), np.nan, {})
    >>> joined(output, (30, 7, 1.5), (20, 9, 2.5))
    (30, 7, 1.5)
    """
    if one is None or other is None:
        return other if one is None else one
    match output.how:
        case "first" | "min":
            return min(one, other)
        case "last" | "max":
            return max(one, other)
        case "count":
            return one + other
        case "mean":
            return (one[0] + other[0], *exact([*one[1:], *other[1:]]))
    return exact([*one, *other]) if output.dtype.kind == "f" else _state(_total(one) + _total(other))


def result(output: Output, states: Sequence[State]) -> npt.NDArray[Any]:
    """Return what states come to; the fill value where there is nothing."""
    fill = 0 if output.fill is None else output.fill
    values = [fill if state is None else _value(output, state) for state in states]
    if output.how == "sum" and output.dtype.kind in "iu":
        return within(np.array(values, object), output.dtype)
    return np.array(values, output.dtype)


def _value(output: Output, state: State) -> Any:
    match output.how:
        case "first" | "last":
            return state[2]
        case "mean":
            return math.fsum(state[1:]) / state[0]
        case "sum" if output.dtype.kind == "f":
            return math.fsum(state)
        case "sum":
            return _total(state)
    return state


def _state(total: int) -> State:
    """Return the state of a sum of integers; what is beyond 64 bits in two numbers, as it has to be stored.

    >>> _state(-7), _state(2**64), _total(_state(-(2**70)))
    (-7, (4, 0), -1180591620717411303424)
    """
    return total if -(2**63) <= total < 2**64 else divmod(total, _PER)


def _total(state: State) -> int:
    total: int = state if isinstance(state, int) else state[0] * _PER + state[1]
    return total


def exact(values: Sequence[float]) -> tuple[float, ...]:
    """Return a few numbers whose sum is that of `values` to the last bit; or what is not finite.

    >>> exact([0.1] * 10), sum([0.1] * 10), math.fsum(exact([0.1] * 10))
    ((1.0, 5.551115123125783e-17), 0.9999999999999999, 1.0)
    """
    found = list[float]()
    try:
        while part := math.fsum([*values, *(-each for each in found)]):
            if not math.isfinite(part):
                return (part,)
            found.append(part)
    except (OverflowError, ValueError):  # on the way; or of both signs
        return (float(sum(values)),)
    return tuple(found)
