"""The methods of an array that go through it chunk by chunk."""

from __future__ import annotations

from typing import Any

from streamzarr.zarr.elements import Elements
from streamzarr.zarr.streaming.map_chunks import ChunkFunction, ChunkMap, ExecutorLike
from streamzarr.zarr.streaming.progress import Progress
from streamzarr.zarr.streaming.stream import ChunkFilter, ChunkStream, MissingInStream, parse_region


class Chunkwise(Elements):
    """A base of :class:`~streamzarr.zarr.array.Array`."""

    def stream_chunks(
        self,
        region: Any = ...,
        *,
        concurrency: int | None = None,
        ordered: bool = True,
        missing: MissingInStream = "fill",
        progress: Progress | bool | None = None,
        where: ChunkFilter | None = None,
    ) -> ChunkStream:
        """Return an iterable (``for`` and ``async for``) over the units of :attr:`grid`, in bounded memory.

        Parameters
        ----------
        region
            A basic selection of slices without steps: only chunks that touch it, cut to it.
        concurrency
            How many chunks are read ahead, each on a thread of its own; 1 reads in the loop itself. By
            default as many as the store likes requests in flight: 1 for files and memory.
        ordered
            In C order of the grid; else in the order in which reads end.
        missing
            What to do about chunks that are not stored.
        progress
            True draws a line on stderr; a function is called with (done, total).
        where
            Only chunks for whose index this is true.

        Examples
        --------
        >>> import streamzarr.zarr as zarr
        >>> z = zarr.create_array("memory://", shape=(5,), chunks=(2,), dtype="i4", fill_value=7)
        >>> for block in z.stream_chunks(concurrency=2):
        ...     print(block.index, block.slices, block.data)
        (0,) (slice(0, 2, None),) [7 7]
        (1,) (slice(2, 4, None),) [7 7]
        (2,) (slice(4, 5, None),) [7]
        """
        box = parse_region(region, self.shape)
        ahead = self.store.capabilities.in_flight if concurrency is None else concurrency
        return ChunkStream(self, box, ahead, ordered, missing, progress, where)

    def map_chunks(
        self,
        fn: ChunkFunction,
        *,
        region: Any = ...,
        executor: ExecutorLike = "threads",
        concurrency: int | None = None,
        ordered: bool = True,
        missing: MissingInStream = "fill",
        progress: Progress | bool | None = None,
        where: ChunkFilter | None = None,
    ) -> ChunkMap:
        """Call ``fn(ndarray)`` on every unit of :attr:`grid`: iterate the results, or write them to an array.

        Parameters
        ----------
        fn
            Is given the chunk, cut at the array's end, as an array of its own. It returns anything to a loop,
            and the block to write to :meth:`ChunkMap.into <streamzarr.zarr.ChunkMap.into>`.
        executor
            ``"threads"``; ``"processes"``, which are spawned, so that `fn` must be importable, the array must
            lie in a store that other processes reach, and a script needs its ``if __name__ == "__main__"``;
            or an executor of the caller's.
        concurrency
            How many threads or processes; by default as many as CPUs, or as the store likes requests in
            flight if that is more.
        region, ordered, missing, progress, where
            As in :meth:`stream_chunks`.

        Examples
        --------
        >>> import numpy as np
        >>> import streamzarr.zarr as zarr
        >>> z = zarr.create_array("memory://", data=np.arange(6.0), chunks=2)
        >>> for result in z.map_chunks(np.sum):
        ...     print(result.index, result.slices, result.value)
        (0,) (slice(0, 2, None),) 1.0
        (1,) (slice(2, 4, None),) 5.0
        (2,) (slice(4, 6, None),) 9.0
        >>> halves = zarr.create_array("memory://", shape=6, chunks=3, dtype="f8")
        >>> z.map_chunks(lambda block: block / 2).into(halves)[:]
        array([0. , 0.5, 1. , 1.5, 2. , 2.5])
        """
        box = parse_region(region, self.shape)
        return ChunkMap(self, fn, box, executor, concurrency, ordered, missing, progress, where)
