"""One column as the codec of a format gave it, before it is what the feed wants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from operator import attrgetter
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from streamzarr.feeds.decode.texts import Texts

Narrow: TypeAlias = np.float16 | np.float32
"""Floats that are not as exact as Python's: their shortest decimals are shorter."""
MISSING: Final = msgspec.UNSET
"""In a list of values: the record has none."""


@dataclass(frozen=True, slots=True)
class Stray:
    """In a list of values: what was found on the way, in which no path goes on."""

    value: Any


@dataclass(frozen=True, slots=True)
class Local:
    """In a list of values: a time without an offset."""

    time: np.datetime64

    def __str__(self) -> str:
        return str(self.time)


@dataclass(frozen=True, slots=True)
class LocalTimes:
    """Times without an offset, as numpy has them; those of plain arrays are in UTC."""

    times: NDArray[np.datetime64]

    def __len__(self) -> int:
        return len(self.times)

    def __getitem__(self, index: int) -> Local:
        return Local(self.times[index])


Given: TypeAlias = "NDArray[Any] | Texts | list[Any]"


@dataclass(frozen=True, slots=True)
class Values:
    """Values of one kind where they are all of one, else a list; `absent` marks rows that have none.

    A list may hold whatever a format has: None and :data:`MISSING` in it are marked, too.

    Examples
    --------
    >>> Values.of([1, 2, None])
    Values(data=array([1, 2, 0]), absent=array([False, False,  True]))
    >>> Values.of([1, "2"]).data
    [1, '2']
    """

    data: Given | LocalTimes
    absent: NDArray[np.bool_] | None = None

    @classmethod
    def of(cls, objects: Sequence[Any]) -> Values:
        """Return Python's `objects` in the form that is converted fastest."""
        kinds = set(map(type, objects))
        if Decimal in kinds:  # as Avro has them: their texts are as exact
            objects = [str(each) if isinstance(each, Decimal) else each for each in objects]
            kinds = set(map(type, objects))
        absent = None
        if kinds & _ABSENT:
            absent = np.fromiter((each is None or each is MISSING for each in objects), bool, len(objects))
            kinds -= _ABSENT
        if absent is None and kinds == {np.datetime64} and len(set(map(attrgetter("dtype"), objects))) == 1:
            return cls(np.array(objects))
        if len(kinds) != 1 or (plain := _PLAIN.get(next(iter(kinds)))) is None:
            return cls(list(objects), absent)
        empty, dtype = plain
        if absent is not None:
            objects = [empty if none else each for each, none in zip(objects, absent, strict=True)]
        if dtype is None:
            return cls(Texts.of(objects), absent)
        for each in (dtype, "u8"):
            try:
                return cls(np.array(objects, each), absent)
            except OverflowError:  # integers beyond 64 bits
                continue
        return cls(list(objects), absent)

    def local(self, unit: str) -> Values:
        """Return the same, with integers as times without an offset, counted in `unit` since 1970."""
        if isinstance(self.data, np.ndarray) and self.data.dtype == np.int64:
            return Values(LocalTimes(self.data.view(f"M8[{unit}]")), self.absent)
        if isinstance(self.data, np.ndarray) and self.data.dtype == np.uint64:
            return Values(self.data.tolist(), self.absent).local(unit)
        if isinstance(self.data, list):
            return Values([_local(each, unit) for each in self.data], self.absent)
        return self

    def __len__(self) -> int:
        return len(self.data)

    def item(self, row: int) -> Any:
        """Return the value of a row as Python has it, or a narrow float; MISSING where there is none."""
        if self.absent is not None and self.absent[row]:
            return MISSING
        value = self.data[row]
        if isinstance(value, np.generic) and value.dtype.kind not in "mM" and not isinstance(value, Narrow):
            return value.item()
        return value

    def narrowed(self) -> Values:
        """Return the same, with floats of 32 bits, which they are known to be though Python's are of 64."""
        if isinstance(self.data, list):
            floats = [np.float32(each) if type(each) is float else each for each in self.data]
            return Values(floats, self.absent)
        if isinstance(self.data, np.ndarray) and self.data.dtype == np.float64:
            return Values(self.data.astype(np.float32), self.absent)
        return self


def _local(value: Any, unit: Any) -> Any:
    """Return an integer as a time without an offset; beyond 64 bits there is none."""
    if type(value) is not int:
        return value
    return Local(np.datetime64(value if -(2**63) < value < 2**63 else "NaT", unit))


_ABSENT = {type(None), type(MISSING)}
_PLAIN: dict[type, tuple[Any, str | None]] = {
    int: (0, "i8"),
    float: (0.0, "f8"),
    np.float32: (np.float32(0), "f4"),
    np.float16: (np.float16(0), "f2"),
    bool: (False, "?"),
    str: ("", None),
}
"""What stands for none among values of a type, and the dtype of its arrays; None: :class:`Texts`."""
