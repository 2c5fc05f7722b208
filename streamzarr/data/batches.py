"""The loader: batches of rows of one or more arrays."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from secrets import randbits
from typing import Any, Literal, TypeAlias

import numpy as np

from streamzarr.data.order import ByChunks, ByRows, InOrder, Order, Positions, Window
from streamzarr.errors import ConfigError
from streamzarr.zarr import Array
from streamzarr.zarr.codecs.base import NDArray
from streamzarr.zarr.grids.grid import RegularAxis
from streamzarr.zarr.streaming.inflight import ahead

Rows: TypeAlias = Array | NDArray
Batch: TypeAlias = NDArray | tuple[NDArray, ...]
BUFFER_BYTES = 64 << 20
"""What is read at once by default when any row may follow any other."""

Shuffle: TypeAlias = Literal["chunks", "rows"] | None


class Batches:
    """An iterable of batches. Made by :func:`batches`, which see.

    Each ``iter()`` begins the next epoch, in another order; a pickled copy goes on at the same epoch. One
    thread reads ahead while a loop runs, and ends with it; several loops may run at the same time.
    """

    def __init__(
        self,
        arrays: tuple[Rows, ...],
        batch_size: int,
        shuffle: Shuffle,
        buffer: int | None,
        seed: int | None,
        drop_last: bool,
        prefetch: int,
        rank: int,
        world_size: int,
    ) -> None:
        if not arrays or any(array.ndim < 1 for array in arrays):
            raise ConfigError("arrays: expected at least one, with rows along the first axis")
        if len(lengths := {len(array) for array in arrays}) != 1:
            raise ConfigError(f"arrays: expected the same number of rows, got {sorted(lengths)}")
        if shuffle not in (None, "chunks", "rows"):
            raise ConfigError(f"shuffle: expected 'chunks', 'rows' or None, got {shuffle!r}")
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("buffer", buffer if buffer is not None else 1, 1),
            ("prefetch", prefetch, 0),
            ("seed", seed or 0, 0),
            ("world_size", world_size, 1),
        ):
            if value < least:
                raise ConfigError(f"{name}: expected at least {least}, got {value}")
        if not 0 <= rank < world_size:
            raise ConfigError(f"rank: expected 0 to {world_size - 1}, got {rank}")
        self.arrays = arrays
        self.batch_size = batch_size
        self.epoch = 0
        """The number of the next epoch; the same seed and number give the same order."""
        self.seed = randbits(63) if seed is None else seed
        self._shuffle = shuffle
        self._edges = min(map(_edges, arrays), key=len)  # of the largest chunks: none is read twice
        self._buffer = self._default_buffer() if buffer is None else buffer
        self._drop_last = drop_last
        self._prefetch = prefetch
        self._rank, self._world_size = rank, world_size

    def __len__(self) -> int:
        """Return the number of batches of an epoch (for this rank)."""
        start, stop = self._share()
        return (stop - start) // self.batch_size if self._drop_last else -(-(stop - start) // self.batch_size)

    def __iter__(self) -> Generator[Batch]:
        return self.iterate()

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch the next ``iter()`` is; needed where workers are sent a new copy for each."""
        self.epoch = epoch

    def iterate(self, worker: int = 0, workers: int = 1) -> Generator[Batch]:
        """Return the next epoch's iterator over the share of one of several `workers` of this rank.

        All workers together give the batches that one would give, each of them once.
        """
        start, stop = self._share()
        first, last = worker * len(self) // workers, (worker + 1) * len(self) // workers
        places = start + first * self.batch_size, min(start + last * self.batch_size, stop)
        epoch, self.epoch = self.epoch, self.epoch + 1
        results = self._cut(self._order(epoch).windows(*places))
        return ahead(results, self._prefetch, "streamzarr-data") if self._prefetch else results

    def _default_buffer(self) -> int:
        chunk = int(np.diff(self._edges).max(initial=1))
        if self._shuffle == "rows":  # the more rows at once, the fewer times each chunk is read
            row = sum(array.nbytes for array in self.arrays) // max(len(self.arrays[0]), 1)
            chunk = BUFFER_BYTES // max(row, 1)
        return max(4 * self.batch_size, chunk)

    def _share(self) -> tuple[int, int]:
        """Return the first and last place of this rank in an epoch."""
        rows, ranks = len(self.arrays[0]), self._world_size
        if self._drop_last:  # every rank the same number, or those with more would wait for the others
            return self._rank * (rows // ranks), (self._rank + 1) * (rows // ranks)
        return self._rank * rows // ranks, (self._rank + 1) * rows // ranks

    def _order(self, epoch: int) -> Order:
        if self._shuffle is None:
            return InOrder(self._edges, self._buffer)
        seed = (self.seed, epoch)
        if self._shuffle == "chunks":
            return ByChunks(self._edges, self._buffer, seed)
        return ByRows(len(self.arrays[0]), self._buffer, seed)

    def _cut(self, windows: Iterator[Window]) -> Generator[Batch]:
        """Cut what is read into batches, which may begin in one window and end in another."""
        size = self.batch_size
        rest: tuple[NDArray, ...] | None = None
        for window in windows:
            data = tuple([_read(array, window) for array in self.arrays])
            if rest is not None:
                missing = size - len(rest[0])
                begun = tuple(
                    [np.concatenate(pair) for pair in zip(rest, _rows(data, 0, missing), strict=True)]
                )
                data = _rows(data, missing, None)
                if len(begun[0]) < size:
                    rest = begun
                    continue
                yield _one_or_all(begun)
            whole = len(data[0]) // size * size
            for start in range(0, whole, size):
                yield _one_or_all(_rows(data, start, start + size))
            # A copy: a view would keep the whole window.
            rest = tuple([part.copy() for part in _rows(data, whole, None)]) if whole < len(data[0]) else None
        if rest is not None and not self._drop_last:
            yield _one_or_all(rest)

    def to_torch(self) -> Any:
        """Return the batches as a ``torch.utils.data.IterableDataset`` of tensors, for a ``DataLoader``.

        Give the loader ``batch_size=None``: batches are made here. Its workers share each epoch. Call
        ``set_epoch`` before each, as with torch's ``DistributedSampler``.
        """
        from streamzarr.data.torch import TorchBatches

        return TorchBatches(self)

    def __repr__(self) -> str:
        return f"<Batches of {self.batch_size} rows, {len(self)} an epoch, next is epoch {self.epoch}>"


def batches(
    *arrays: Rows,
    batch_size: int,
    shuffle: Shuffle = None,
    buffer: int | None = None,
    seed: int | None = None,
    drop_last: bool = False,
    prefetch: int = 2,
    rank: int = 0,
    world_size: int = 1,
) -> Batches:
    """Return an iterable over batches of rows: one array gives arrays, several give tuples, in step.

    Parameters
    ----------
    arrays
        Of ours, or of numpy; all with the same number of rows along the first axis.
    batch_size
        Rows of a batch; the last of an epoch may have fewer.
    shuffle
        ``"chunks"``: chunks in random order and rows mixed within `buffer`, at the cost of reading in order.
        ``"rows"``: any row may follow any other, at the cost of reading, for each `buffer` of rows, every
        chunk that has one. None: as they lie.
    buffer
        How many rows are read at once; by default four batches, or if that is more a chunk (with ``"rows"``:
        as many as take 64 MiB). Memory: three times this, for each array.
    seed
        The same seed gives the same orders, epoch by epoch; None: another each time.
    drop_last
        Leave out a last batch with fewer rows, and rows that cannot be divided equally between ranks.
    prefetch
        How many batches a thread makes ahead; 0 makes them in the loop.
    rank, world_size
        This process and the number of processes that share each epoch. With `drop_last` all have the same
        number of batches.

    Raises
    ------
    streamzarr.errors.ConfigError
        Of the arguments; the loop raises what reading does.

    Examples
    --------
    >>> import numpy as np
    >>> import streamzarr.zarr as zarr
    >>> x = zarr.create_array("memory://", data=np.arange(20).reshape(10, 2), chunks=(4, 2))
    >>> y = zarr.create_array("memory://", data=np.arange(10) * 2, chunks=5)
    >>> training = batches(x, y, batch_size=4, shuffle="rows", seed=1)
    >>> len(training)
    3
    >>> for features, labels in training:
    ...     assert (features[:, 0] == labels).all()
    """
    return Batches(arrays, batch_size, shuffle, buffer, seed, drop_last, prefetch, rank, world_size)


def _edges(array: Rows) -> Positions:
    """Return the first row of each chunk, and the number of rows."""
    rows = len(array)
    if not isinstance(array, Array):
        return np.array([0, rows], np.intp) if rows else np.zeros(1, np.intp)
    axis = array.grid.axes[0]
    if isinstance(axis, RegularAxis):
        starts = np.arange(
            0, rows, array.chunks[0] or 1, dtype=np.intp
        )  # inner chunks of shards are read alone
    else:
        starts = np.array([axis.start(chunk) for chunk in range(axis.count)], np.intp)
    return np.append(starts, rows)


def _read(array: Rows, window: Window) -> NDArray:
    reads = window.reads
    if isinstance(reads, np.ndarray):
        data: NDArray = array.oindex[reads, ...] if isinstance(array, Array) else array[reads]
    elif len(reads) == 1:
        data = array[reads[0]]
        if not isinstance(array, Array):
            data = data.copy()
    else:
        data = np.concatenate([array[run] for run in reads])
    return data if window.order is None else data[window.order]


def _rows(data: tuple[NDArray, ...], start: int, stop: int | None) -> tuple[NDArray, ...]:
    return tuple([part[start:stop] for part in data])


def _one_or_all(parts: tuple[NDArray, ...]) -> Batch:
    return parts if len(parts) > 1 else parts[0]
