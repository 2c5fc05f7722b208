"""What `benchmarks/rechunk.py` asks of a script that rechunks, and what it is told. Standard library only."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Trial:
    """One array to rechunk: Zarr v2 to Zarr v2, zstd at level 1."""

    source: str
    folder: str
    """An empty folder, for the target and whatever else is written."""
    chunks: tuple[int, ...]
    """Of the target."""
    memory: int
    """Bytes that a worker may hold in all."""
    idle: int
    """Bytes of these that its interpreter and libraries are taken to hold; the rest is for data."""
    workers: int

    @staticmethod
    def given() -> Trial:
        fields = json.loads(sys.argv[1])
        return Trial(**{**fields, "chunks": tuple(fields["chunks"])})

    @property
    def target(self) -> str:
        return f"{self.folder}/target.zarr"

    def argument(self) -> str:
        return json.dumps(asdict(self))

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Tell when the work in the block began and ended, by the clock that all processes share."""
        ready = time.monotonic()
        yield
        print(json.dumps({"ready": ready, "done": time.monotonic()}))
