"""Rows of several streams in the order of one field: a view, read as it is walked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from streamzarr.errors import ConfigError
from streamzarr.options import integer
from streamzarr.stream.rows import Rows
from streamzarr.stream.schema import is_sorted
from streamzarr.zarr.codecs.base import NDArray

BATCH_ROWS: Final = 65_536
"""Rows of a batch where nothing else is said."""


@dataclass(frozen=True, slots=True, eq=False)
class MergedRows:
    """Rows of several streams, in order."""

    columns: Mapping[str, NDArray]
    """The fields."""
    streams: NDArray
    """For each row, which of the merged streams it comes from, counted from 0."""
    numbers: NDArray
    """For each row, its number in that stream."""

    def __getitem__(self, name: str) -> NDArray:
        return self.columns[name]

    def __len__(self) -> int:
        return len(self.streams)


def merge(streams: Sequence[Rows], by: str) -> Merged:
    """Return rows of several streams, such as the partitions of a topic, in the order of the field `by`.

    Rows of equal value come in the order of `streams`, and of one stream in its own. Nothing is read yet.

    Raises
    ------
    streamzarr.errors.ConfigError
        There is no stream, or the fields differ.
    ValueError
        `by` is not sorted in each of the streams.

    Examples
    --------
    >>> import streamzarr as sz
    >>> schema = {"time": sz.stream.Field("i8", sorted=True), "price": "f8"}
    >>> for path, times in (("p0", [1, 4, 5]), ("p1", [2, 3])):
    ...     with sz.StreamWriter("memory://merged", path, schema=schema) as writer:
    ...         writer.append({"time": times, "price": [1.0] * len(times)})
    >>> parts = [sz.open_stream("memory://merged", path) for path in ("p0", "p1")]
    >>> for rows in merge(parts, by="time").batches(4):
    ...     print(rows["time"], rows.streams)
    [1 2 3 4] [0 1 1 0]
    [5] [0]
    """
    if not streams:
        raise ConfigError("merge: expected at least one stream")
    fields = _dtypes(streams[0])
    for each in streams:
        if _dtypes(each) != fields:
            raise ConfigError(
                f"{each.url}: has the fields {_dtypes(each)}, but {streams[0].url} has {fields}; "
                "only streams of the same fields are merged"
            )
        if not is_sorted(each.view.document.fields[each[by].name]):
            raise ValueError(f"{each[by].url}: the field is not sorted, so streams cannot be merged by it")
    return Merged(tuple(streams), by)


@dataclass(frozen=True, slots=True)
class Merged:
    """Rows of several streams in the order of one field; made by :func:`merge`. Immutable, picklable."""

    parts: tuple[Rows, ...]
    by: str

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the fields: of those that every stream has, where one was just added to some."""
        first, *others = (each.names for each in self.parts)
        return tuple(name for name in first if all(name in names for names in others))

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def sel(self, wanted: slice) -> Merged:
        """Return the rows whose value of the field :attr:`by` lies in a slice, both ends included."""
        if not isinstance(wanted, slice):
            raise ConfigError(f"sel: expected a slice of values of {self.by!r}, got {wanted!r}")
        return Merged(tuple(each.sel({self.by: wanted}) for each in self.parts), self.by)

    def batches(self, rows: int = BATCH_ROWS) -> Iterator[MergedRows]:
        """Yield all rows in order, some at a time: at most `rows`, which are in memory twice meanwhile.

        Raises as reading a field does. Values of :attr:`by` are read once, those of other fields as well.
        """
        size = max(1, integer("rows", rows, 1) // len(self.parts))
        sides = [_Side(number, part, self.names, self.by, size) for number, part in enumerate(self.parts)]
        while sides := [side for side in sides if side.fill()]:
            end = _end(sides)
            yield _joined([side.take(end) for side in sides], self.by)


class _Side:
    """One stream in a merge: what of it is in memory. Owned by one thread."""

    def __init__(self, number: int, rows: Rows, names: Sequence[str], by: str, size: int) -> None:
        self.number, self._names, self._by, self._size = number, names, by, size
        self._rows, self._next = rows, rows.start
        self._block: dict[str, NDArray] = {}
        self._start = rows.start

    def fill(self) -> bool:
        """Read a block if none is there; tell whether a row is left."""
        if not self._block or not len(self.keys):
            chosen = self._rows.between(self._next, self._next + self._size)
            self._start, self._next = chosen.start, chosen.stop
            self._block = chosen.to_numpy(self._names)
        return len(self.keys) > 0

    @property
    def keys(self) -> NDArray:
        """The values to merge by of the rows in memory."""
        return self._block[self._by]

    @property
    def is_last(self) -> bool:
        """Whether no row follows those in memory."""
        return self._next == self._rows.stop

    def take(self, end: _End | None) -> MergedRows:
        """Remove and return the rows up to `end`; None: all."""
        count = len(self.keys) if end is None else end.count(self.keys, self.number)
        taken = {name: values[:count] for name, values in self._block.items()}
        self._block = {name: values[count:] for name, values in self._block.items()}
        self._start += count
        numbers = np.arange(self._start - count, self._start)
        return MergedRows(taken, np.full(count, self.number), numbers)


@dataclass(frozen=True, slots=True)
class _End:
    """Up to where rows may be given: of what is not in memory, nothing comes before."""

    value: Any
    number: int
    """The stream whose rows in memory end there. It may go on with the same value: later streams wait."""

    def count(self, keys: NDArray, number: int) -> int:
        """Return how many of `keys`, of the stream `number`, lie before the end."""
        side = "right" if number <= self.number else "left"
        return int(np.searchsorted(keys, self.value, side=side))  # type: ignore[call-overload]


def _end(sides: Sequence[_Side]) -> _End | None:
    ends = [_End(side.keys[-1], side.number) for side in sides if not side.is_last]
    return min(ends, key=lambda end: end.value) if ends else None


def _joined(parts: Sequence[MergedRows], by: str) -> MergedRows:
    order = np.argsort(np.concatenate([each[by] for each in parts]), kind="stable")
    return MergedRows(
        {name: np.concatenate([each[name] for each in parts])[order] for name in parts[0].columns},
        np.concatenate([each.streams for each in parts])[order],
        np.concatenate([each.numbers for each in parts])[order],
    )


def _dtypes(rows: Rows) -> dict[str, tuple[np.dtype[Any], tuple[int, ...]]]:
    return {name: (each.dtype, each.shape[1:]) for name, each in rows.view.document.fields.items()}
