"""What `flow.py` and `pipeline.py` ask of a script that reads a topic, and what they are told."""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import msgspec

COMMIT_EVERY = 0.2
"""Seconds between two commits, with everybody."""
CLIENT: dict[str, Any] = {
    "fetch.queue.backoff.ms": 2,  # librdkafka's default leaves a fast consumer idle for most of each second
    "fetch.wait.max.ms": 50,
    "queued.max.messages.kbytes": 32 << 10,
}
"""How everybody's client fetches: as ours does."""


class Reading(msgspec.Struct):
    """What a record holds."""

    sensor: str
    number: int
    value: float
    unit: str
    at: str


decode = msgspec.json.Decoder(Reading).decode


@dataclass(frozen=True, slots=True)
class Trial:
    """A topic to read from its beginning: decode each record, gather batches, commit offsets."""

    servers: str
    topic: str
    group: str
    """One that has not read yet."""
    records: int
    batch: int
    folder: str = ""
    """An empty folder, for whatever is written."""
    ages_from: int | None = None
    """Tell how old readings are when they come to the sink, without so many first ones; their values are the
    times at which they were sent. ``None``: values are values."""

    @staticmethod
    def given() -> Trial:
        """Return what the script was told, and set the garbage collector as all have it.

        By default it looks at all young objects each time that there are 700 more: with an object or five a
        record that is a third of the time.
        """
        gc.freeze()
        gc.set_threshold(20_000)
        return Trial(**json.loads(sys.argv[1]))

    def argument(self) -> str:
        return json.dumps(asdict(self))


class Sink:
    """Takes batches of readings, and the time from the first batch to the last commit.

    What comes before the first batch, such as joining a group, is not counted.
    """

    def __init__(self, trial: Trial) -> None:
        self._left = trial.records
        self._total = 0.0
        self._ages: list[float] = []
        self._ages_from = trial.ages_from
        self._records = trial.records
        self._begun: tuple[float, float] | None = None
        self._timed = 0

    @property
    def full(self) -> bool:
        """Whether all records were taken."""
        return self._left <= 0

    def take(self, readings: Sequence[Reading]) -> None:
        self._total += sum([reading.value for reading in readings])
        if self._ages_from is not None and self._records - self._left >= self._ages_from:
            now = time.time()
            self._ages += [now - reading.value for reading in readings]
        self._left -= len(readings)
        if self._begun is None:
            self._begun = time.monotonic(), time.process_time()
            self._timed = self._left

    def tell(self) -> None:
        """Report: everything was committed."""
        assert self._begun is not None
        wall, processor = time.monotonic() - self._begun[0], time.process_time() - self._begun[1]
        rate, cost = self._timed / wall, processor / self._timed * 1e6
        told = {"records_s": rate, "cpu_us": cost, "left": self._left, "total": self._total}
        if self._ages:
            cuts = statistics.quantiles(self._ages, n=100)
            told |= {"p50": cuts[49], "p99": cuts[98]}
        print(json.dumps(told))
