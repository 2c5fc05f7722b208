"""A feed of ours that gets records at a steady rate: how soon are they visible, and does memory grow?"""

from __future__ import annotations

import json
import multiprocessing
import resource
import subprocess
import sys
import tempfile
import time
import uuid
from bisect import bisect_right
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from ingest.trial import Trial
from ingest.watched import Onlooker, run_watched
from ingest.with_feed import feed_of
from ingest.workloads import PARTITIONS, TICK, W1

from streamzarr.feeds import Feed
from streamzarr.flow import Stop
from streamzarr.queue import NewRecord, TopicPartition, open_broker
from streamzarr.stream import open_streams

RATE = 5000
"""Records a second."""
STEP = 0.005
"""Seconds between two sends."""
CHUNK_ROWS = 8192
"""What comes to a partition in some seconds, for each commit puts the chunk that is not full again."""
WARM = 2.0
"""Seconds of which nothing is counted."""


def produce(servers: str, topic: str, seconds: float) -> None:
    """Send ticks at the rate; each says when it was sent."""
    tick, each, number = np.zeros(1, TICK), int(RATE * STEP), 0
    with open_broker(f"kafka://{servers}") as broker, broker.producer() as producer:
        begun = time.monotonic()
        while number < RATE * seconds:
            pause = begun + number / RATE - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            tick["ts"] = time.time_ns()
            producer.send(
                topic, [NewRecord(tick.tobytes(), partition=(number + at) % PARTITIONS) for at in range(each)]
            )
            number += each
        producer.flush(60)


def steady(servers: str, seconds: float, every: float, folder: Path | None) -> dict[str, float]:
    """Return what a feed that commits `every` so many seconds made of `seconds` of records."""
    topic = f"bench-steady-{uuid.uuid4().hex[:8]}"
    count = int(RATE * seconds)
    with open_broker(f"kafka://{servers}") as broker, tempfile.TemporaryDirectory(dir=folder) as below:
        broker.create_topic(topic, PARTITIONS)
        trial = Trial(servers, topic, f"bench-{uuid.uuid4().hex}", W1.name, count, f"{below}/to.zarr")
        with subprocess.Popen(
            [sys.executable, "-m", "ingest.steady", trial.argument(), str(every)],
            stdout=subprocess.PIPE,
            text=True,
        ) as feed:
            assert feed.stdout is not None
            feed.stdout.readline()  # it has its partitions
            source = multiprocessing.get_context("spawn").Process(
                target=produce, args=(servers, topic, seconds)
            )
            source.start()
            told: dict[str, float] = json.loads(feed.stdout.readline())
            source.join()
        broker.delete_topic(topic)
    return told


class Record(Onlooker):
    """What was visible when, and the memory of the process."""

    def __init__(self, count: int) -> None:
        self.stop = Stop()
        self.times: list[int] = []
        self.ends: dict[int, list[int]] = {number: [] for number in range(PARTITIONS)}
        """Of each partition, up to where it was visible at each of the times."""
        self.memory: list[int] = []
        self._left = count
        self._look_at = 0.0

    def began(self, partitions: int) -> None:
        if partitions == PARTITIONS:
            print("ready", flush=True)

    def took(self, records: int) -> None:
        self._left -= records
        if not self._left:
            self.stop.drain(30.0)

    def committed(self, positions: Mapping[TopicPartition, int]) -> None:
        self.times.append(time.time_ns())
        moved = {where.partition: position for where, position in positions.items()}
        for number, ends in self.ends.items():
            ends.append(moved.get(number, ends[-1] if ends else 0))
        if time.monotonic() >= self._look_at:
            self._look_at = time.monotonic() + 1.0
            self.memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize())

    def lags(self, sent: Mapping[int, Any]) -> np.ndarray[Any, Any]:
        """Return the milliseconds from when each record was sent until it was visible."""
        found = []
        for number, ends in self.ends.items():
            times = np.asarray(sent[number])
            commits = [bisect_right(ends, offset) for offset in range(len(times))]
            found.append((np.array(self.times)[commits] - times) / 1e6)
        lags, moments = np.concatenate(found), np.concatenate([np.asarray(each) for each in sent.values()])
        return lags[moments > moments.min() + WARM * 1e9]


def main() -> None:
    """Run the feed until it has all."""
    trial, every = Trial(**json.loads(sys.argv[1])), float(sys.argv[2])
    told = feed_of(trial).to_builtins()
    told["target"] |= {"commit": {"seconds": every}, "chunk_rows": CHUNK_ROWS}
    record = Record(trial.messages)
    run_watched(Feed.of(told), record.stop, record)
    streams = open_streams(trial.folder)
    sent = {int(name[1:]): part["ts"][:] for name, part in streams.items()}
    lags = record.lags(sent)
    seconds = (record.times[-1] - record.times[0]) / 1e9
    print(
        json.dumps(
            {
                "every": every,
                "p50": float(np.percentile(lags, 50)),
                "p99": float(np.percentile(lags, 99)),
                "most": float(lags.max()),
                "commits_s": len(record.times) / seconds,
                "cpu": time.process_time() / seconds,
                "first_mb": record.memory[min(3, len(record.memory) - 1)] / 1e6,
                "half_mb": record.memory[len(record.memory) // 2] / 1e6,
                "last_mb": record.memory[-1] / 1e6,
                "most_mb": max(record.memory) / 1e6,
            }
        ),
        flush=True,
    )


if __name__ == "__main__":
    main()
