"""The kinds of jobs that are simulated, and what each must have made of its source."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from random import Random
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

import streamzarr
from streamzarr.jobs import JobHandle, submit
from streamzarr.queue.base import Broker
from streamzarr.stores.base import Store
from streamzarr.testing.simulation.store import SCHEME
from streamzarr.testing.simulation.world import World

SOURCE, TARGET, ROOT = f"{SCHEME}://data/source", f"{SCHEME}://data/target", f"{SCHEME}://data"
SOURCE_CHUNK, TARGET_CHUNK = 4, 6
MAX_TASK_BYTES = 60
MAX_LAG = 6
NEGATE = "simulated-negate"

Values = npt.NDArray[Any]


class JobKind(Protocol):
    """One job over an array of int32 in chunks of :data:`SOURCE_CHUNK`."""

    def submit(self, broker: Broker) -> JobHandle:
        """Submit it."""

    def dead(self) -> set[int]:
        """Return the numbers of the chunks that must become dead letters."""

    def arrays(self, data: Values, contents: Store) -> Mapping[str, Values]:
        """Return what the arrays of the target must hold, by path; chunks that are dead are not compared."""

    def transform(self, block: Values) -> Values:
        """Compute a block, on a worker."""


@dataclass(frozen=True)
class Copy:
    """Other chunks."""

    def submit(self, broker: Broker) -> JobHandle:
        """Submit it."""
        return submit(
            "copy",
            SOURCE,
            TARGET,
            broker=broker,
            chunks=TARGET_CHUNK,
            max_task_bytes=MAX_TASK_BYTES,
            max_lag=MAX_LAG,
        )

    def dead(self) -> set[int]:
        """Return nothing: all is written."""
        return set()

    def arrays(self, data: Values, contents: Store) -> Mapping[str, Values]:
        """Return the source's values."""
        return {"": data}

    def transform(self, block: Values) -> Values:
        """Return the block; not called."""
        return block


@dataclass(frozen=True)
class Negate:
    """A function of values that refuses some chunks, and that is killed by others."""

    world: World
    refused: frozenset[int]
    """Chunks that it raises for."""
    deadly: frozenset[int]
    """Chunks that kill the process that works on them."""

    def submit(self, broker: Broker) -> JobHandle:
        """Submit it."""
        return submit(
            "map",
            SOURCE,
            TARGET,
            broker=broker,
            transform=NEGATE,
            chunks=TARGET_CHUNK,
            max_task_bytes=MAX_TASK_BYTES,
            max_lag=MAX_LAG,
        )

    def dead(self) -> set[int]:
        """Return the chunks that are refused or deadly."""
        return {*self.refused, *self.deadly}

    def arrays(self, data: Values, contents: Store) -> Mapping[str, Values]:
        """Return the values, negated; zero, the fill value, where nothing must have been written."""
        values = -data
        for number in self.dead():
            values[number * TARGET_CHUNK : (number + 1) * TARGET_CHUNK] = 0
        return {"": values}

    def transform(self, block: Values) -> Values:
        """Negate a block."""
        number = int(block[0] - 1) // 3 // TARGET_CHUNK
        if number in self.refused:
            raise ValueError(f"chunk {number} is refused")
        if number in self.deadly:
            kernel = self.world.kernel
            kernel.trace.add(kernel.time, str(kernel.current), f"chunk {number} kills its process")
            kernel.current.process.kill()
            kernel.step()
        return -block


@dataclass(frozen=True)
class Pyramid:
    """A second level of half the size, made of the first one."""

    def submit(self, broker: Broker) -> JobHandle:
        """Submit it."""
        return submit(
            "downsample",
            SOURCE,
            TARGET,
            broker=broker,
            factor=2,
            levels=2,
            method="max",
            max_task_bytes=MAX_TASK_BYTES,
            max_lag=MAX_LAG,
        )

    def dead(self) -> set[int]:
        """Return nothing: all is written."""
        return set()

    def arrays(self, data: Values, contents: Store) -> Mapping[str, Values]:
        """Return the two levels."""
        return {"0": data, "1": data.reshape(-1, 2).max(axis=1)}

    def transform(self, block: Values) -> Values:
        """Return the block; not called."""
        return block


def draw_kind(world: World, chunks: int) -> JobKind:
    """Draw a kind of job, as the seed has it."""
    random = Random(f"job {world.plan.seed}")
    match random.randrange(4):
        case 0:
            return Pyramid()
        case 1:
            return Copy()
    numbers = range(-(-chunks * SOURCE_CHUNK // TARGET_CHUNK))
    bad = random.sample(numbers, min(len(numbers), random.choice((0, 1, 2, 3))))
    deadly = frozenset(bad[:1]) if random.random() < 0.5 else frozenset[int]()
    return Negate(world, frozenset(bad) - deadly, deadly)


def make_source(store: Store, chunks: int) -> Values:
    """Make the source; return its values."""
    data = np.arange(chunks * SOURCE_CHUNK, dtype="int32") * 3 + 1
    streamzarr.create_array(store, data=data, chunks=SOURCE_CHUNK)
    return data
