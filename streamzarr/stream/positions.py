"""Which position of the source belongs to which row, for the rows that are not committed yet. No I/O."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from streamzarr.errors import StreamzarrError
from streamzarr.stream.record import Position, check_position

Numbers: TypeAlias = "npt.NDArray[np.int64]"
NextOffset: TypeAlias = "int | Mapping[str, int] | Sequence[int] | npt.NDArray[Any] | None"
"""Where the source goes on behind a batch: a number, or one for each of its parts by name (parts that are
not named stay where they were); or a number behind each row."""


class Positions:
    """Positions from the last commit on. Owned by the writer's thread.

    Parameters
    ----------
    committed, rows
        The position that the stream has, and its rows.

    Examples
    --------
    >>> positions = Positions(None, rows=0)
    >>> positions.add(2, positions.read(7, 2, "a.zarr"))
    >>> positions.add(2, positions.read([8, 12], 2, "a.zarr"))
    >>> positions.at(2), positions.at(3), positions.last
    (7, 8, 12)
    """

    def __init__(self, committed: Position | None, rows: int) -> None:
        self._ends = [rows]
        self._values: list[Position | Numbers | None] = [committed]

    @property
    def last(self) -> Position | None:
        """The position behind all rows."""
        return self.at(self._ends[-1])

    def at(self, row: int) -> Position | None:
        """Return the position behind the first `row` rows, where it is known: behind a batch, for one."""
        place = bisect_left(self._ends, row)
        value = self._values[place]
        return int(value[row - self._ends[place] - 1]) if isinstance(value, np.ndarray) else value

    def read(self, given: NextOffset, count: int, where: str) -> Position | Numbers | None:
        """Return `given` for a batch of `count` rows, checked and complete; None where no positions are kept.

        Raises
        ------
        ValueError
            A position is missing, goes back, or is not of the form of those before.
        """
        before = self.last
        if given is None:
            if before is not None:
                raise ValueError(f"{where}: the rows so far have positions, so next_offset is needed")
            return None
        if before is None and self._ends[-1]:
            raise ValueError(f"{where}: the rows so far have no positions, so next_offset cannot begin here")
        if before is not None and isinstance(given, Mapping) != isinstance(before, Mapping):
            raise ValueError(f"{where}: next_offset is {given!r}, expected one like {before!r}")
        if isinstance(given, Mapping):
            return _parts(given, before if isinstance(before, Mapping) else {}, where)
        if not count and np.size(given) == 0:
            return before
        assert not isinstance(before, Mapping)
        return _numbers(given, before or 0, count, where)

    def add(self, count: int, position: Position | Numbers | None) -> None:
        """Take note of `count` more rows, with what :meth:`read` has returned for them."""
        if count and position is not None:
            self._ends.append(self._ends[-1] + count)
            self._values.append(position)
            return
        self._ends[-1] += count  # nothing to tell apart: rows without positions, or a position without rows
        last = self._values[-1]
        if isinstance(last, np.ndarray):
            last[-1] = cast(int, position)
        else:
            self._values[-1] = position

    def forget(self, row: int) -> None:
        """Forget what lies before `row`, which is committed."""
        kept = bisect_left(self._ends, row)
        del self._ends[:kept], self._values[:kept]


def is_known_within(position: Position | Numbers | None) -> bool:
    """Tell whether the batch of this position can be cut anywhere."""
    return position is None or isinstance(position, np.ndarray)


def _parts(given: Mapping[str, int], before: Mapping[str, int], where: str) -> Mapping[str, int]:
    for name, number in given.items():
        _check(number, f"{where}: next_offset {name!r}", before.get(name, 0))
    complete = {**before, **{name: int(number) for name, number in given.items()}}
    _checked(complete, f"{where}: next_offset")
    return complete


def _numbers(given: Any, before: int, count: int, where: str) -> int | Numbers:
    if np.ndim(given) == 0:
        _check(given, f"{where}: next_offset", before)
        return int(given)
    numbers = np.asarray(given)
    if numbers.shape != (count,) or numbers.dtype.kind not in "iu":
        raise ValueError(
            f"{where}: next_offset has {numbers.shape} {numbers.dtype}, expected {count} integers"
        )
    numbers = numbers.astype(np.int64)
    _check(numbers[0], f"{where}: next_offset", before)
    if (numbers[1:] < numbers[:-1]).any():
        raise ValueError(f"{where}: next_offset goes back within the batch")
    return numbers


def _check(number: Any, where: str, least: int) -> None:
    if isinstance(number, bool) or not isinstance(number, int | np.integer):
        raise ValueError(f"{where}: expected an integer, got {number!r}")
    _checked(int(number), where)
    if number < least:
        raise ValueError(f"{where}: {number} is before {least}, where the rows so far end")


def _checked(position: Position, where: str) -> None:
    try:
        check_position(position, where)
    except StreamzarrError as error:
        raise ValueError(str(error)) from error
