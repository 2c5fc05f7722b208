"""What whoever has no store of his own writes with: zarr-python, by whole chunks."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import zarr
from ingest.trial import Trial
from ingest.workloads import CHUNK_ROWS, LEVEL, SIDE, TICK, W4, columns, transformed
from zarr.codecs import ZstdCodec


def open_sink(trial: Trial, threads: int = 1) -> Rows | Tiles:
    """Return what stores the messages of a trial."""
    return Tiles(trial, threads) if trial.workload is W4 else Rows(trial)


class Rows:
    """Ticks as five arrays, the offset's one of them; only the last chunk is put before it is full."""

    def __init__(self, trial: Trial) -> None:
        self._workload = trial.workload
        group = zarr.create_group(trial.folder)
        fields = {**{name: TICK[name] for name in TICK.names or ()}, "offset": np.dtype("i8")}
        self._arrays = {
            name: group.create_array(
                name, shape=(0,), dtype=dtype, chunks=(CHUNK_ROWS,), compressors=ZstdCodec(level=LEVEL)
            )
            for name, dtype in fields.items()
        }
        self._values: list[bytes] = []
        self._offsets: list[int] = []

    @property
    def room(self) -> int:
        """Messages until the chunk is full."""
        return self._workload.chunk - len(self._values)

    def take(self, values: Sequence[bytes], offsets: Sequence[int]) -> bool:
        """Keep messages, and write whole chunks; tell whether anything was written."""
        self._values += values
        self._offsets += offsets
        full = self.room <= 0
        while self.room <= 0:
            self._write(self._workload.chunk)
        return full

    def flush(self) -> bool:
        """Write what is left; tell whether there was anything."""
        left = len(self._values)
        if left:
            self._write(left)
        return left > 0

    def _write(self, count: int) -> None:
        found = columns(self._workload, self._values[:count])
        found["offset"] = np.repeat(np.array(self._offsets[:count]), self._workload.rows)
        for name, array in self._arrays.items():
            array.append(found[name])
        del self._values[:count], self._offsets[:count]

    def found(self) -> tuple[int, float]:
        """Return how many rows there are, and the sum that says whether they are right."""
        sizes = np.asarray(self._arrays["size"][:])
        return len(sizes), float(sizes.sum())


class Tiles:
    """Tiles, each its own chunk, by its number."""

    room = 64

    def __init__(self, trial: Trial, threads: int) -> None:
        self._array = zarr.create_array(
            trial.folder,
            shape=(1_000_000, SIDE, SIDE),
            dtype="f4",
            chunks=(1, SIDE, SIDE),
            compressors=ZstdCodec(level=LEVEL),
        )
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._numbers: set[int] = set()

    def take(self, values: Sequence[bytes], offsets: Sequence[int]) -> bool:
        """Store tiles."""
        each = map if self._pool is None else self._pool.map
        self._numbers.update(each(self._store, values))
        return True

    def flush(self) -> bool:
        """Nothing is left."""
        return False

    def _store(self, value: bytes) -> int:
        number, tile = transformed(value)
        self._array[number] = tile
        return number

    def found(self) -> tuple[int, float]:
        """Return how many tiles there are, and their sum."""
        sums = [float(np.asarray(self._array[number]).sum(dtype="f8")) for number in self._numbers]
        return len(sums), sum(sums)
