"""What a task holds in memory: the one place that says so, for the planner and for the budget of a worker."""

from __future__ import annotations

from dataclasses import dataclass

WRITING_BYTES = 32 << 20
"""What the chunks take that one task has under way to a store that likes many requests at once, about."""
COPIES = 3
"""Of a chunk that is written: as it was computed, as it is stored, and encoded."""
GROUP_BYTES = 2 << 20
"""Of small source chunks a reader takes so many at a time (:mod:`streamzarr.zarr.chunks.parallel`)."""
FETCH_BYTES = 16 << 20
"""Of a shard a reader asks for so many at a time (:mod:`streamzarr.zarr.chunks.shardio`)."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the memory of a task goes by, beside the size of its block."""

    itemsize: int
    """Bytes of a cell of the source."""
    chunk: int
    """Bytes of the largest chunk of the source; of a shard, what is asked for at once."""
    readers: int
    """Source chunks that are read at once."""
    part: int
    """Cells of the source that one chunk of the target is made of, at most."""
    unit: int
    """Bytes of what the target is written in, chunk or shard; in the wider of both dtypes."""
    writers: int = 1
    """Chunks that are written at once."""
    wide: int = 0
    """Bytes a cell of what is computed in between."""


def held_bytes(held: Held, region: int, touched: int, chunks: int) -> int:
    """Return how many bytes a task holds at most, beside what its transform takes for itself.

    The box that it reads stays until its last chunk is written. Variable-length elements count as the
    references to them.

    Parameters
    ----------
    region
        Cells of the source that it reads.
    touched
        Chunks of the source, or shards, that these lie in.
    chunks
        Chunks of the target that it writes.

    Examples
    --------
    >>> held = Held(itemsize=4, chunk=4 << 20, readers=3, part=1 << 20, unit=4 << 20)
    >>> held_bytes(held, 4 << 20, touched=4, chunks=4) >> 20
    40
    """
    # What is stored of a chunk, and the chunk where only a part of it is wanted or it is not in one piece.
    reading = 2 * min(held.readers * max(held.chunk, GROUP_BYTES), touched * held.chunk)
    computing = held.part * (held.itemsize + held.wide) + COPIES * held.unit
    return region * held.itemsize + max(reading, computing * min(held.writers, chunks))


def readers_of(in_flight: int, cores: int) -> int:
    """Return how many source chunks a task reads at once: what a store likes, or enough for all cores.

    >>> readers_of(16, cores=2), readers_of(1, cores=2)
    (16, 3)
    """
    return in_flight if in_flight > 1 else cores + 1


def writers_of(in_flight: int, unit: int) -> int:
    """Return how many chunks of `unit` bytes a task writes at once to a store that likes so many requests.

    >>> writers_of(16, 1 << 20), writers_of(16, 16 << 10), writers_of(1, 1 << 20)
    (10, 16, 1)
    """
    return max(1, min(in_flight, WRITING_BYTES // (COPIES * max(unit, 1))))
