"""Columns of times and durations: from texts, from numbers since 1970, from other times."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from streamzarr.feeds.decode.kinds.base import Unfit, undecided
from streamzarr.feeds.decode.kinds.number_texts import MAX_DIGITS, NUMBER, integers_of
from streamzarr.feeds.decode.kinds.numbers import EXACT, is_narrow, shortest
from streamzarr.feeds.decode.kinds.time_format import ISO
from streamzarr.feeds.decode.kinds.time_texts import many_texts, one_text
from streamzarr.feeds.decode.kinds.zones import Zone
from streamzarr.feeds.decode.texts import Texts
from streamzarr.feeds.decode.values import Given, Local, Narrow

NANOSECONDS: Final = {
    "D": 86_400 * 10**9,
    "h": 3600 * 10**9,
    "m": 60 * 10**9,
    "s": 10**9,
    "ms": 10**6,
    "us": 1000,
    "ns": 1,
}
"""Of each unit that a column of times may have."""
_EXACT: Final[dict[type, int]] = {float: EXACT, np.float32: 2**24, np.float16: 2**11}
"""Of each type of floats: up to where each integer is one of its own."""


@dataclass(frozen=True, slots=True)
class Times:
    """Times in UTC, or durations; what is finer than the column's unit is cut off, toward the past.

    Numbers count `unit` since 1970, in UTC. Times without an offset are of `zone`; None: in UTC, too. Texts
    are read by `pattern`, or, where they are numbers and there is a `unit`, as numbers.
    """

    dtype: np.dtype[Any]
    unit: str
    pattern: re.Pattern[str]
    zone: Zone | None
    number_texts: bool
    """Texts that are numbers count, too."""

    @property
    def empty(self) -> np.datetime64 | np.timedelta64:  # noqa: D102
        return np.datetime64("NaT") if self.dtype.kind == "M" else np.timedelta64("NaT")

    @property
    def _nanoseconds(self) -> int:
        """Of one step of the column."""
        unit, step = np.datetime_data(self.dtype)
        return NANOSECONDS[unit] * step

    def one(self, value: Any) -> Any:  # noqa: D102
        count = self._total(value) // self._nanoseconds
        if not -(2**63) < count < 2**63:
            raise Unfit(f"a time that {self.dtype} can hold")
        return self.dtype.type(count, np.datetime_data(self.dtype))

    def _total(self, value: Any) -> int:
        """Return nanoseconds since 1970."""
        if isinstance(value, str):
            text = value.strip()
            if self.dtype.kind == "M" and (found := self.pattern.fullmatch(text)):
                seconds, nanoseconds = one_text(found, self.zone)
                return seconds * 10**9 + nanoseconds
            if self.number_texts and len(text) <= MAX_DIGITS and NUMBER.fullmatch(text):
                return self._scaled(text)
            raise Unfit(self._expected_text)
        if isinstance(value, int) and not isinstance(value, bool):
            return value * NANOSECONDS[self.unit]
        if isinstance(value, float | Narrow) and np.isfinite(value):
            if abs(float(value)) >= (exact := _EXACT[type(value)]):
                name = value.dtype if isinstance(value, Narrow) else "float"
                beyond = f"2**{exact.bit_length() - 1}"
                raise Unfit(f"an integer of {self.unit}, as a {name} beyond {beyond} is not exact")
            return self._scaled(shortest(value))
        if isinstance(value, Local) and self.dtype.kind == "M":
            return self._utc(self._total(value.time))
        if isinstance(value, np.datetime64 | np.timedelta64) and value.dtype.kind == self.dtype.kind:
            unit, step = np.datetime_data(value.dtype)
            if not np.isnat(value) and unit in NANOSECONDS:
                return int(value.astype("i8")) * step * NANOSECONDS[unit]
        elif isinstance(value, datetime) and self.dtype.kind == "M":
            offset = value.utcoffset()
            naive = value.replace(tzinfo=None) - (offset or timedelta())
            total = (naive - datetime(1970, 1, 1)) // timedelta(microseconds=1) * 1000
            return self._utc(total) if offset is None else total
        elif isinstance(value, date) and self.dtype.kind == "M":
            return self._utc((value - date(1970, 1, 1)).days * NANOSECONDS["D"])
        raise Unfit(f"{'a time' if self.dtype.kind == 'M' else 'a duration'}, or a number of {self.unit}")

    def _utc(self, local: int) -> int:
        """Return nanoseconds since 1970 of a time without an offset."""
        if self.zone is None:
            return local
        seconds, nanoseconds = divmod(local, 10**9)
        return self.zone.utc(seconds) * 10**9 + nanoseconds

    @property
    def _expected_text(self) -> str:
        numbers = f"a number of {self.unit}" if self.number_texts else "a number, once unit is stated"
        if self.dtype.kind == "m":
            return numbers
        form = "as in 2026-01-05T09:30:00.123456789Z" if self.pattern is ISO else "in the stated format"
        return f"a time {form}, or {numbers}"

    def _scaled(self, text: str) -> int:
        try:
            number = Decimal(text)
        except ArithmeticError:
            raise Unfit(f"a time that {self.dtype} can hold") from None
        if not number:
            return 0
        if not -MAX_DIGITS < number.adjusted() < 30:  # 1e9999 would be a long integer
            raise Unfit(f"a time that {self.dtype} can hold")
        sign, digits, exponent = number.as_tuple()
        assert isinstance(exponent, int)
        counted: int = (-1 if sign else 1) * int("".join(map(str, digits))) * NANOSECONDS[self.unit]
        return counted * int(10**exponent) if exponent >= 0 else counted // int(10**-exponent)

    def many(self, data: Given) -> tuple[NDArray[Any], NDArray[np.bool_]]:  # noqa: D102
        if isinstance(data, list):
            return undecided(len(data), self.dtype)
        if isinstance(data, Texts):
            if self.dtype.kind != "M":
                return undecided(len(data), self.dtype)
            held, unsure = self._held(*many_texts(data, self.pattern, self.zone))
            if self.number_texts and self.pattern is ISO and unsure.any():  # by which no number is a time
                counts, no_number = integers_of(data)
                numbers, unsure_too = self._counted(counts, self.unit, no_number)
                return np.where(unsure, numbers, held), unsure & unsure_too
            return held, unsure
        if data.dtype == self.dtype:
            return data, np.isnat(data)
        if data.dtype.kind == self.dtype.kind:
            unit, step = np.datetime_data(data.dtype)
            if unit not in NANOSECONDS or step != 1:
                return undecided(len(data), self.dtype)
            return self._counted(data.view("i8"), unit, np.isnat(data))
        if data.dtype.kind in "iu":
            unsure = data > 2**63 - 1 if data.dtype == np.uint64 else np.zeros(len(data), bool)
            return self._counted(data.astype("i8"), self.unit, unsure)
        if data.dtype.kind == "f" and NANOSECONDS[self.unit] >= 1000:
            if not is_narrow(data.dtype):
                return self._from_floats(data.astype("f8"))
            held, unsure = self._from_floats(data.astype("U").astype("f8"))  # their shortest decimals
            return held, unsure | ~(np.abs(data) <= _EXACT[data.dtype.type])
        return undecided(len(data), self.dtype)

    def many_local(self, times: NDArray[np.datetime64]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the same as :meth:`many` for times without an offset."""
        if self.zone is None or self.dtype.kind != "M":
            return self.many(times)
        unit, step = np.datetime_data(times.dtype)
        if unit not in NANOSECONDS or step != 1:
            return undecided(len(times), self.dtype)
        local, nanoseconds, unsure = _split(times.view("i8"), unit, np.isnat(times))
        seconds, unsure_too = self.zone.utc_many(local)
        return self._held(seconds, nanoseconds, unsure | unsure_too)

    def _counted(
        self, counts: NDArray[np.int64], unit: str, unsure: NDArray[np.bool_]
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        if NANOSECONDS[unit] == self._nanoseconds:
            return counts.view(self.dtype), unsure | (counts == np.iinfo("i8").min)
        return self._held(*_split(counts, unit, unsure))

    def _from_floats(self, numbers: NDArray[np.float64]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Take those that are full microseconds, as the shortest decimal number of a float says."""
        per = NANOSECONDS[self.unit] / 1000
        with np.errstate(invalid="ignore", over="ignore"):
            counts = np.rint(numbers * per)
            unsure = ~((np.abs(counts) < 8e15) & (counts / per == numbers))
        return self._counted(np.where(unsure, 0, counts).astype("i8"), "us", unsure)

    def _held(
        self, seconds: NDArray[np.int64], nanoseconds: NDArray[np.int64], unsure: NDArray[np.bool_]
    ) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Return the column for seconds since 1970 and what is beyond."""
        step = self._nanoseconds
        if step >= 10**9:
            whole, rest = divmod(step, 10**9)
            if rest:
                return undecided(len(seconds), self.dtype)
            return (seconds // whole).view(self.dtype), unsure
        per, rest = divmod(10**9, step)
        if rest:  # such as steps of 3 ms, which no second is made of
            return undecided(len(seconds), self.dtype)
        unsure = unsure | (np.abs(seconds) >= (2**63 - 1) // per)
        return (np.where(unsure, 0, seconds) * per + nanoseconds // step).view(self.dtype), unsure


def _split(
    counts: NDArray[np.int64], unit: str, unsure: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return seconds and nanoseconds of what was counted, and which are not sure."""
    if NANOSECONDS[unit] >= 10**9:
        per = NANOSECONDS[unit] // 10**9
        unsure = unsure | (np.abs(counts // 2) > 2**61 // per)
        return np.where(unsure, 0, counts) * per, np.zeros_like(counts), unsure
    seconds, rest = np.divmod(counts, 10**9 // NANOSECONDS[unit])
    return seconds, rest * NANOSECONDS[unit], unsure
