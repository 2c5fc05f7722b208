"""Records of one partition by columns: all values, all offsets, and no object for each record.

An object for each record costs more than all else that is done with small ones. Whoever decodes a whole batch
needs the values, perhaps the offsets and the timestamps, and hardly ever a :class:`Record`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import accumulate, groupby, pairwise, repeat
from typing import TYPE_CHECKING, Any

from streamzarr.queue.packed import Packed
from streamzarr.queue.record import Headers, Record, TopicPartition

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Columns:
    """A run of records of one partition, one at least, in the order of their offsets.

    Immutable, and so are the lists that it gives; may be handed to another thread, but used by one at a time.

    Parameters
    ----------
    where
        The partition that all the records are of.
    offsets
        Offset of each record, ascending; a range of step 1 where none is left out takes no time.
    keys
        Key of each record; ``None``: none has one.
    values
        Value of each record; small ones may be given in one piece.
    headers
        Headers of each record; ``None``: none has any.
    timestamps
        Of each record, milliseconds since the epoch.

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

    def __init__(
        self,
        where: TopicPartition,
        offsets: Sequence[int],
        keys: list[bytes | None] | None,
        values: list[bytes | None] | Packed,
        headers: list[Headers] | None,
        timestamps: Sequence[int],
    ) -> None:
        self.where = where
        self.packed: Packed | None = None
        """The values in one piece, if they were given so: for who needs no object for each."""
        if isinstance(values, Packed):
            self.packed = values
        else:
            self.values = values
        self.offset_list = offsets
        """Offset of each record, as Python's integers."""
        self._keys = keys
        self._headers = headers
        self._timestamps = timestamps

    def __len__(self) -> int:
        return len(self.offset_list)

    # ------------------------------------------------------------ columns

    @property
    def topic(self) -> str:
        """Topic of all the records."""
        return self.where.topic

    @property
    def partition(self) -> int:
        """Partition of all the records."""
        return self.where.partition

    @property
    def first(self) -> int:
        """Offset of the first record."""
        return self.offset_list[0]

    @property
    def stop(self) -> int:
        """Offset of the last record + 1; offsets in between may be without a record."""
        return self.offset_list[-1] + 1

    @cached_property
    def offsets(self) -> NDArray[np.int64]:
        """Offset of each record, ascending."""
        return _integers(self.offset_list)

    @cached_property
    def values(self) -> list[bytes | None]:
        """Value of each record."""
        assert self.packed is not None
        return [*self.packed]

    @property
    def keys(self) -> list[bytes | None]:
        """Key of each record."""
        return [None] * len(self) if self._keys is None else self._keys

    @property
    def headers(self) -> list[Headers]:
        """Headers of each record."""
        return [()] * len(self) if self._headers is None else self._headers

    @property
    def has_headers(self) -> bool:
        """Whether any record may have some; a look at each of them only tells more."""
        return self._headers is not None

    @cached_property
    def timestamps(self) -> NDArray[np.int64]:
        """Timestamp of each record, milliseconds since the epoch."""
        return _integers(self._timestamps)

    @cached_property
    def nbytes(self) -> int:
        """Bytes of all values, keys and headers."""
        values = _bytes_of_all(self.values) if self.packed is None else self.packed.nbytes
        return values + _bytes_of_all(self._keys or ()) + sum(map(_bytes_of, self._headers or ()))

    @property
    def sizes(self) -> list[int]:
        """Bytes of value, key and headers of each record."""
        if self.packed is not None and self._keys is None and self._headers is None:
            return list(self.packed.lengths)
        if self._keys is None and self._headers is None and None not in self.values:
            return list(map(len, self.values))  # type: ignore[arg-type]
        return [
            len(value or b"") + len(key or b"") + _bytes_of(headers)
            for value, key, headers in zip(self.values, self.keys, self.headers, strict=True)
        ]

    # ------------------------------------------------------------ pieces

    def __getitem__(self, index: slice) -> Columns:
        """Return the records of a slice as columns.

        Raises
        ------
        ValueError
            The slice holds no record, or leaves some out.
        """
        start, stop, step = index.indices(len(self))
        if step != 1 or start >= stop:
            raise ValueError(f"records {start}:{stop}:{step} of {len(self)}, expected a slice of one or more")
        if stop - start == len(self):
            return self
        return Columns(
            self.where,
            self.offset_list[start:stop],
            self._keys and self._keys[start:stop],
            self.values[start:stop] if self.packed is None else self.packed[start:stop],
            self._headers and self._headers[start:stop],
            self._timestamps[start:stop],
        )

    def joined(self, *others: Columns) -> Columns:
        """Return the records of all; those of `others` follow, in their order.

        >>> first, second = columns_of([Record("t", n // 5, n % 5, None, b"12", (), 0) for n in range(10)])
        >>> first[:3].joined(first[3:]).offsets, second.joined() is second
        (array([0, 1, 2, 3, 4]), True)
        """
        if not others:
            return self
        runs = (self, *others)

        def gathered(name: str) -> list[Any]:
            found: list[Any] = []
            for run in runs:
                found += getattr(run, name)  # lists as a whole, where a chain would go from item to item
            return found

        packed = [run.packed for run in runs if run.packed is not None]
        joined = Columns(
            self.where,
            _range_of([run.offset_list for run in runs]) or gathered("offset_list"),
            gathered("keys") if any(run._keys is not None for run in runs) else None,
            Packed.joined(*packed) if len(packed) == len(runs) else gathered("values"),
            gathered("headers") if any(run._headers is not None for run in runs) else None,
            _joined([run._timestamps for run in runs]),
        )
        joined.nbytes = sum(run.nbytes for run in runs)  # each has been counted, most likely
        return joined

    def record(self, number: int) -> Record:
        """Return one record as such: one that cannot be decoded, say."""
        number = range(len(self))[number]
        return self[number : number + 1].records()[0]

    def records(self) -> list[Record]:
        """Return all records as such."""
        # Record._make without its check of the length, and without a step of Python's for each.
        return list(map(tuple.__new__, repeat(Record), self.rows()))

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """Yield the fields of each record, in the order of `Record`."""
        return zip(
            repeat(self.topic),
            repeat(self.partition),
            self.offset_list,
            self._keys or repeat(None),
            self.values,
            self._headers or repeat(()),
            self._timestamps,
            strict=False,
        )

    def fitting(self, max_records: int, max_bytes: int | None = None) -> int:
        """Return how many records, from the first on, keep within both bounds."""
        count = min(len(self), max_records)
        if max_bytes is None or (count == len(self) and self.nbytes <= max_bytes):
            return count
        return bisect_right(list(accumulate(self.sizes[:count])), max_bytes)

    def __repr__(self) -> str:
        where = f"{self.topic}[{self.partition}]"
        return f"<{len(self)} records of {where}, offsets {self.first} to {self.stop - 1}>"


def _bytes_of_all(payloads: Sequence[bytes | None]) -> int:
    try:
        return sum(map(len, payloads))  # type: ignore[arg-type]  # most have no None in them
    except TypeError:
        return sum(map(len, filter(None, payloads)))


def _bytes_of(headers: Headers) -> int:
    return sum([len(name) + len(value) for name, value in headers]) if headers else 0


def _range_of(parts: Sequence[Sequence[int]]) -> range | None:
    """Return ranges that follow on one another as one; None: they are something else."""
    ranges = [part for part in parts if isinstance(part, range)]
    if len(ranges) < len(parts) or any(one.stop != other.start for one, other in pairwise(ranges)):
        return None
    return range(ranges[0].start, ranges[-1].stop)


def _joined(parts: list[Sequence[int]]) -> Sequence[int]:
    joined: list[int] | array[int] = array("q") if all(isinstance(part, array) for part in parts) else []
    for part in parts:
        joined.extend(part)
    return joined


def _integers(values: Sequence[int]) -> NDArray[np.int64]:
    import numpy as np

    if isinstance(values, array):
        return np.array(values)  # of machine integers: copied as a whole

    if isinstance(values, range):
        return np.arange(values.start, values.stop, dtype=np.int64)
    return np.fromiter(values, np.int64, len(values))


def columns_of(records: Iterable[Record]) -> Iterator[Columns]:
    """Yield `records` as columns, a run for each stretch of one partition.

    Examples
    --------
    >>> records = [Record("t", partition, n, None, b"", (), 0) for partition in (0, 1) for n in range(3)]
    >>> list(columns_of(records))
    [<3 records of t[0], offsets 0 to 2>, <3 records of t[1], offsets 0 to 2>]
    """
    for where, stretch in groupby(records, key=lambda record: TopicPartition(*record[:2])):
        _, _, offsets, keys, values, headers, timestamps = map(list, zip(*stretch, strict=True))
        yield Columns(
            where,
            offsets,
            keys if keys.count(None) < len(keys) else None,
            values,
            headers if any(headers) else None,
            timestamps,
        )


class Portion:
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
        self.runs: list[Columns] = []
        self.full = max_records <= 0
        """Whether no more will be taken."""
        self._records, self._bytes = max_records, max_bytes

    def take(self, run: Columns) -> Columns | None:
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
