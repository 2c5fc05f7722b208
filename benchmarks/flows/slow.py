"""A sink that is slow: what is fetched ahead of it, and the memory of the process.

Run as a script it is told where the records are and how many bytes may be in flight, and prints what it saw.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import threading
import uuid
from collections.abc import Sequence
from typing import Any

import psutil

from streamzarr.flow import Demand, Message, Stop, from_topic, ops, run
from streamzarr.queue import Broker, Columns, open_broker

BATCH = 50
PAUSE = 0.002
"""Seconds that the sink takes for a batch: some 20,000 records a second, where the source could do more."""


def uneven(number: int) -> bytes:
    """Return 100 bytes, or 4,000: five thousand records of a kind in turn."""
    return bytes(4_000 if number // 5_000 % 2 else 100)


class Meter:
    """Bytes that were fetched and not yet settled, and memory, from batch to batch."""

    def __init__(self) -> None:
        self.messages = 0
        self._fetched = self._settled = self._peak = self._largest = 0
        self._memory: list[int] = []
        self._process = psutil.Process()

    def fetch(self, runs: Sequence[Columns]) -> None:
        nbytes = sum(run.nbytes for run in runs)
        self._fetched += nbytes
        self._largest = max(self._largest, nbytes)
        self._peak = max(self._peak, self._fetched - self._settled)

    def settle(self, messages: Sequence[Message]) -> None:
        self.messages += len(messages)
        self._settled += sum(message.nbytes for message in messages)
        self._memory.append(self._process.memory_info().rss)

    def told(self) -> dict[str, float]:
        """Return the most that was fetched ahead, and memory in the first tenth, the last, and at most."""
        tenth = max(1, len(self._memory) // 10)
        return {
            "ahead_bytes": self._peak,
            "largest_fetch_bytes": self._largest,
            "first_mb": statistics.median(self._memory[:tenth]) / 1e6,
            "last_mb": statistics.median(self._memory[-tenth:]) / 1e6,
            "most_mb": max(self._memory) / 1e6,
        }


class Metered:
    """Stands for a broker, or a consumer of it, and meters what is polled."""

    def __init__(self, of: Any, meter: Meter) -> None:
        self._of, self._meter = of, meter

    def consumer(self, *args: Any, **options: Any) -> Metered:
        return Metered(self._of.consumer(*args, **options), self._meter)

    def poll_columns(self, *args: Any, **options: Any) -> list[Columns]:
        runs: list[Columns] = self._of.poll_columns(*args, **options)
        self._meter.fetch(runs)
        return runs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._of, name)


def main() -> None:
    url, topic, records, max_bytes = sys.argv[1:]
    meter, stop, pause = Meter(), Stop(), threading.Event()

    def take(messages: Sequence[Message]) -> None:
        pause.wait(PAUSE)
        meter.settle(messages)
        if meter.messages >= int(records):
            stop.drain(30.0)

    with open_broker(url) as broker:
        metered: Broker = Metered(broker, meter)  # type: ignore[assignment]
        demand = Demand(20 * BATCH, max_bytes=int(max_bytes))
        source = from_topic(metered, topic, group=f"bench-{uuid.uuid4().hex[:8]}", demand=demand)
        run(source.pipe(ops.batch(BATCH), ops.settle(take)), stop=stop)
    print(json.dumps(meter.told()))


def slow(url: str, topic: str, records: int, max_bytes: int) -> dict[str, float]:
    """Let a process of its own read `topic` for a slow sink; return what it saw."""
    command = [sys.executable, __file__, url, topic, str(records), str(max_bytes)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])  # type: ignore[no-any-return]


if __name__ == "__main__":
    main()
