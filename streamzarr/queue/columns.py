"""Records of one partition by columns: all values, all offsets, and no object for each record.

An object for each record costs more than all else that is done with small ones. Whoever decodes a whole batch
needs the values, perhaps the offsets and the timestamps, and hardly ever a :class:`Record`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate, groupby, repeat
from typing import TYPE_CHECKING, Generic, Self, TypeVar

from streamzarr.queue.record import Headers, Record, TopicPartition

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Columns(ABC):
    """A run of records of one partition, in the order of their offsets.

    A column is taken out of what the broker's client gave when it is first asked for, and kept. Immutable;
    may be handed to another thread, but used by one at a time.

    Examples
    --------
    >>> from streamzarr.testing.broker_fake import FakeBroker
    >>> broker = FakeBroker()
    >>> broker.create_topic("ticks")
    >>> broker.append("ticks", 0, b"1.5", b"1.6", b"1.4")
    >>> with broker.reader("ticks") as reader:
    ...     [run] = reader.poll_columns(100, timeout=1.0)
    >>> run.where, run.first, run.stop, len(run), run.nbytes
    (TopicPartition(topic='ticks', partition=0), 0, 3, 3, 9)
    >>> run.values
    [b'1.5', b'1.6', b'1.4']
    >>> run.offsets
    array([0, 1, 2])
    >>> run[1:].values, run.record(2).value
    ([b'1.6', b'1.4'], b'1.4')
    """

    def __init__(self, topic: str, partition: int, first: int, stop: int) -> None:
        self.topic = topic
        self.partition = partition
        self.first = first
        """Offset of the first record."""
        self.stop = stop
        """Offset of the last record + 1; offsets in between may be without a record."""

    # ------------------------------------------------------------ what an implementation gives

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def _cut(self, start: int, stop: int) -> Self:
        """Return the records from number `start` to before `stop`, at least one."""

    @abstractmethod
    def _offsets(self) -> Iterable[int]: ...

    @abstractmethod
    def _values(self) -> list[bytes | None]: ...

    @abstractmethod
    def _keys(self) -> list[bytes | None]: ...

    @abstractmethod
    def _headers(self) -> list[Headers] | None:
        """Return the headers, or None if no record has any."""

    @abstractmethod
    def _timestamps(self) -> Iterable[int]: ...

    # ------------------------------------------------------------ columns

    @property
    def where(self) -> TopicPartition:
        """The partition that all the records are of."""
        return TopicPartition(self.topic, self.partition)

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Offset of each record, ascending."""
        return _integers(self._offsets(), len(self))

    @cached_property
    def values(self) -> list[bytes | None]:
        """Value of each record."""
        return self._values()

    @cached_property
    def keys(self) -> list[bytes | None]:
        """Key of each record."""
        return self._keys()

    @cached_property
    def headers(self) -> list[Headers]:
        """Headers of each record."""
        return self._some_headers or [()] * len(self)

    @cached_property
    def timestamps(self) -> NDArray[np.int64]:
        """Timestamp of each record, milliseconds since the epoch."""
        return _integers(self._timestamps(), len(self))

    @cached_property
    def _some_headers(self) -> list[Headers] | None:
        return self._headers()

    @cached_property
    def nbytes(self) -> int:
        """Bytes of all values, keys and headers."""
        values, keys = self._bytes_of_values(), sum(map(len, filter(None, self.keys)))
        return values + keys + sum(map(_bytes_of, self._some_headers or ()))

    def _bytes_of_values(self) -> int:
        return sum(map(len, filter(None, self.values)))

    @property
    def sizes(self) -> list[int]:
        """Bytes of value, key and headers of each record."""
        return [
            len(value or b"") + len(key or b"") + _bytes_of(headers)
            for value, key, headers in zip(self.values, self.keys, self.headers, strict=True)
        ]

    # ------------------------------------------------------------ pieces

    def __getitem__(self, index: slice) -> Self:
        """Return the records of a slice as columns.

        Raises
        ------
        ValueError
            The slice holds no record, or leaves some out.
        """
        start, stop, step = index.indices(len(self))
        if step != 1 or start >= stop:
            raise ValueError(f"records {start}:{stop}:{step} of {len(self)}, expected a slice of one or more")
        return self if stop - start == len(self) else self._cut(start, stop)

    def record(self, number: int) -> Record:
        """Return one record as such: one that cannot be decoded, say."""
        number = range(len(self))[number]
        return self[number : number + 1].records()[0]

    def records(self) -> list[Record]:
        """Return all records as such."""
        rows = zip(
            repeat(self.topic),
            repeat(self.partition),
            self._offsets(),
            self.keys,
            self.values,
            self._some_headers or repeat(()),
            self._timestamps(),
            strict=False,
        )
        # Record._make without its check of the length, and without a step of Python's for each.
        return list(map(tuple.__new__, repeat(Record), rows))

    def fitting(self, max_records: int, max_bytes: int | None = None) -> int:
        """Return how many records, from the first on, keep within both bounds."""
        count = min(len(self), max_records)
        if max_bytes is None or (count == len(self) and self.nbytes <= max_bytes):
            return count
        return bisect_right(list(accumulate(self.sizes[:count])), max_bytes)

    def __repr__(self) -> str:
        where = f"{self.topic}[{self.partition}]"
        return f"<{len(self)} records of {where}, offsets {self.first} to {self.stop - 1}>"


def _bytes_of(headers: Headers) -> int:
    return sum([len(name) + len(value) for name, value in headers]) if headers else 0


def _integers(values: Iterable[int], count: int) -> NDArray[np.int64]:
    import numpy as np

    return np.fromiter(values, np.int64, count)


class ListColumns(Columns):
    """Columns that are there as sequences, of a record at least."""

    def __init__(
        self,
        where: TopicPartition,
        offsets: Sequence[int],
        keys: list[bytes | None],
        values: list[bytes | None],
        headers: list[Headers] | None,
        timestamps: Sequence[int],
    ) -> None:
        super().__init__(*where, offsets[0], offsets[-1] + 1)
        self._columns = offsets, keys, values, headers, timestamps

    def __len__(self) -> int:
        return len(self._columns[0])

    def _cut(self, start: int, stop: int) -> Self:
        offsets, keys, values, headers, timestamps = self._columns
        piece = slice(start, stop)
        return type(self)(
            self.where,
            offsets[piece],
            keys[piece],
            values[piece],
            headers and headers[piece],
            timestamps[piece],
        )

    def _offsets(self) -> Sequence[int]:
        return self._columns[0]

    def _keys(self) -> list[bytes | None]:
        return self._columns[1]

    def _values(self) -> list[bytes | None]:
        return self._columns[2]

    def _headers(self) -> list[Headers] | None:
        return self._columns[3]

    def _timestamps(self) -> Sequence[int]:
        return self._columns[4]


def columns_of(records: Iterable[Record]) -> Iterator[ListColumns]:
    """Yield `records` as columns, a run for each stretch of one partition.

    Examples
    --------
    >>> records = [Record("t", partition, n, None, b"", (), 0) for partition in (0, 1) for n in range(3)]
    >>> list(columns_of(records))
    [<3 records of t[0], offsets 0 to 2>, <3 records of t[1], offsets 0 to 2>]
    """
    for where, stretch in groupby(records, key=lambda record: TopicPartition(*record[:2])):
        _, _, offsets, keys, values, headers, timestamps = map(list, zip(*stretch, strict=True))
        yield ListColumns(where, offsets, keys, values, headers if any(headers) else None, timestamps)


C = TypeVar("C", bound=Columns)


class Portion(Generic[C]):
    """What one poll takes, within its bounds: `max_records`, and `max_bytes` but for the first record.

    The first record is taken however big it is; nobody could ever read on otherwise.

    Examples
    --------
    >>> [run] = columns_of(Record("t", 0, n, None, b"12345", (), 0) for n in range(4))
    >>> portion = Portion(max_records=10, max_bytes=12)
    >>> portion.take(run)
    <2 records of t[0], offsets 2 to 3>
    >>> portion.runs, portion.full
    ([<2 records of t[0], offsets 0 to 1>], True)
    """

    __slots__ = ("_bytes", "_records", "full", "runs")

    def __init__(self, max_records: int, max_bytes: int | None = None) -> None:
        self.runs: list[C] = []
        self.full = max_records <= 0
        """Whether no more will be taken."""
        self._records, self._bytes = max_records, max_bytes

    def take(self, run: C) -> C | None:
        """Take what fits of `run`, and return the rest; None: all was taken."""
        if self.full:
            return run
        count = run.fitting(self._records, self._bytes) or (0 if self.runs else 1)
        self._records -= count
        rest = None if count == len(run) else run[count:]
        self.full = rest is not None or self._records == 0
        if count:
            taken = run[:count]
            self.runs.append(taken)
            if self._bytes is not None:
                self._bytes -= taken.nbytes
                self.full = self.full or self._bytes < 0  # the first one alone was too large
        return rest
