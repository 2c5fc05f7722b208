"""From a run of records to rows: decoded at once, with what the records say of themselves. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from streamzarr.errors import MessageError, SchemaRegistryError, message_of
from streamzarr.feeds.columns import ColumnSpec
from streamzarr.feeds.decode.base import Decoder, TooMuchError
from streamzarr.feeds.decode.objects import MAX_REASON
from streamzarr.feeds.of_record import OfRecord
from streamzarr.queue import Columns as Run


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a run of records, and the records that gave none."""

    run: Run
    columns: Mapping[str, npt.NDArray[Any]]
    origin: npt.NDArray[np.intp] | None
    """Index of the record that each row came from, ascending; None: row i is of record i."""
    bad: Mapping[int, str]
    """Index of a record that gave no rows -> reason."""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    @property
    def nbytes(self) -> int:
        """Bytes of the rows."""
        return sum(each.nbytes for each in self.columns.values())

    def records(self) -> npt.NDArray[np.intp]:
        """Return the index of the record that each row came from."""
        return np.arange(len(self)) if self.origin is None else self.origin

    def without(self, bad: Mapping[int, str]) -> Rows:
        """Return the rows of the other records.

        Examples
        --------
        >>> run = Run(None, [7, 8], None, [b"", b""], None, [0, 0])
        >>> rows = Rows(run, {"x": np.array([1, 2, 3])}, np.array([0, 0, 1]), {})
        >>> left = rows.without({0: "too old"})
        >>> left.columns["x"], left.bad
        (array([3]), {0: 'too old'})
        """
        return self.chosen(self.kept(bad)).with_bad(bad) if bad else self

    def with_bad(self, bad: Mapping[int, str]) -> Rows:
        """Return these rows, with more records that gave none."""
        return replace(self, bad={**self.bad, **bad})

    def kept(self, bad: Collection[int]) -> npt.NDArray[np.bool_]:
        """Return which rows are of records that are not among `bad`."""
        return ~np.isin(self.records(), list(bad))

    def chosen(self, which: npt.NDArray[Any]) -> Rows:
        """Return some of the rows, in their order, of the same run."""
        columns = {name: values[which] for name, values in self.columns.items()}
        return replace(self, columns=columns, origin=self.records()[which])


@dataclass(frozen=True, slots=True)
class Undecoded:
    """A run that waits for something beside it: nothing is wrong with its records."""

    run: Run
    reason: str


@dataclass(frozen=True, slots=True)
class Pieces:
    """A run that becomes more rows than are to be in memory: they are made some at a time, as they are taken.

    Each time that it is asked it makes them anew.
    """

    run: Run
    make: Callable[[Run], Rows | Undecoded | None]
    """Makes the rows of a part of the run; None: they are too much, too."""

    def rows(self, position: int) -> Iterator[Rows | Undecoded]:
        """Yield the rows of the records from `position` on, in their order."""
        return self._of(self.run, position)

    def _of(self, run: Run, position: int) -> Iterator[Rows | Undecoded]:
        half = len(run) // 2
        for part in (run[:half], run[half:]):
            if part.stop > position:
                made = self.make(part)
                if made is None:
                    yield from self._of(part, position)
                else:
                    yield made


class RowMaker:
    """Makes rows of runs. Owned by the chain's thread."""

    def __init__(self, columns: Mapping[str, ColumnSpec], decoder: Decoder) -> None:
        self._decoder = decoder
        self._takes_packed = bool(getattr(decoder, "packed", False))
        self._none = {name: np.empty(0, each.dtype) for name, each in columns.items()}
        self._of_value = [name for name, each in columns.items() if not each.of_record]
        self._of_record = {name: OfRecord(each) for name, each in columns.items() if each.of_record}

    def __call__(self, run: Run) -> Rows | Undecoded | Pieces:
        """Return the rows of a run, or why they cannot be had now; raises as :meth:`rows`."""
        try:
            return self.rows(run)
        except SchemaRegistryError as error:
            return Undecoded(run, str(error))
        except TooMuchError:
            return Pieces(run, self._part)

    def _part(self, run: Run) -> Rows | Undecoded | None:
        """Return the rows of a part of a run; what raises becomes a bad record, as it does of a whole one."""
        try:
            made = self(run)
        except Exception as error:  # noqa: BLE001 - as ops.decode does
            if len(run) > 1:
                return None
            return Rows(run, self._none, np.empty(0, np.intp), {0: message_of(error, MAX_REASON)})
        return None if isinstance(made, Pieces) else made

    def rows(self, run: Run) -> Rows:
        """Return the rows of a run.

        Raises
        ------
        streamzarr.errors.MessageError
            The decoder did not give what it is to give.
        streamzarr.errors.SchemaRegistryError
            It needs a schema, and the registry is away or refuses us.
        """
        packed = run.packed if self._takes_packed else None
        decoded = self._decoder(run.values if packed is None else packed)
        columns = {name: np.asarray(decoded.columns[name]) for name in self._of_value}
        origin = decoded.origin
        count = len(next(iter(columns.values()))) if columns else len(run) - len(decoded.bad)
        if origin is None and count != len(run):
            if columns or not decoded.bad:
                raise MessageError(f"{run!r} gave {count} rows, and nothing says which record each is of")
            origin = np.setdiff1d(np.arange(len(run)), list(decoded.bad))
        bad = {} if origin is None else _empty(len(run), origin, decoded.bad)
        for name, column in self._of_record.items():
            values, unfit = column(run)
            bad.update(unfit)
            columns[name] = values if origin is None else values[origin]
        return Rows(run, columns, origin, decoded.bad).without(bad)


def _empty(count: int, origin: npt.NDArray[np.intp], bad: Mapping[int, str]) -> dict[int, str]:
    """Return the records that gave no rows though nothing is wrong with them: none may just vanish."""
    without = np.flatnonzero(np.bincount(origin, minlength=count) == 0)
    return {int(each): "holds no row" for each in without if each not in bad}


def going_back(values: npt.NDArray[Any], records: npt.NDArray[np.intp], last: Any) -> npt.NDArray[np.intp]:
    """Return the records of which a row comes before a row ahead of it, or cannot be compared.

    Parameters
    ----------
    values
        Of a sorted column.
    records
        The record of each row.
    last
        The value of the row before; None: there is none.

    Examples
    --------
    >>> going_back(np.array([3, 5, 4, 5, 9, 6]), np.arange(6), last=3)
    array([2, 5])
    """
    ahead = np.fmax.accumulate(values)
    if last is not None:
        ahead = np.fmax(ahead, last)
    in_order = values >= ahead
    return records[:0] if in_order.all() else np.unique(records[~in_order])
