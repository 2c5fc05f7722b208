"""How old records are when their batch comes to the sink, at a steady load."""

from __future__ import annotations

import threading
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

import msgspec
from flows.contest import BATCH, PARTITIONS, ContestError, Peer, topic, tried
from flows.trial import Reading, Trial

from streamzarr.queue import NewRecord, open_broker

LEAD = 15.0
"""Seconds for joining the group, and for what has come meanwhile."""
EVERY = 0.01


@dataclass(frozen=True, slots=True)
class Latency:
    rate: float
    """Records a second."""
    p50: float
    p99: float
    """Seconds."""
    cpu_us: float


def latency(servers: str, peer: Peer, python: Path, rate: float, seconds: float, timeout: float) -> Latency:
    """Send so many records a second to a peer, and return how old they were in its sink."""
    records = int(rate * (LEAD + seconds))
    url = f"kafka://{servers}"
    with topic(url, 0, lambda _: b"") as name:
        group = f"bench-{uuid.uuid4().hex[:8]}"
        trial = Trial(servers, name, group, records, BATCH, ages_from=int(rate * LEAD))
        feeding = threading.Thread(target=_feed, args=(url, name, records, rate))
        feeding.start()
        try:
            told = tried(peer, python, trial, timeout)
        finally:
            feeding.join()
    if told["left"] or "p50" not in told:  # such as one that ends where the topic does
        raise ContestError(f"it left {told['left']:.0f} of {records} records")
    return Latency(rate, told["p50"], told["p99"], told["cpu_us"])


def _feed(url: str, topic: str, records: int, rate: float) -> None:
    sent, begun = 0, time.perf_counter()
    with open_broker(url) as broker, broker.producer() as producer:
        while sent < records:
            due = min(records, int((time.perf_counter() - begun) * rate))
            if due == sent:
                time.sleep(EVERY)
                continue
            reading = Reading(f"s{sent % 50:03d}", sent, time.time(), "celsius", "2026-11-29T01:02:03.000Z")
            value = msgspec.json.encode(reading)
            partition = int(sent / rate / EVERY) % PARTITIONS
            producer.send(topic, [NewRecord(value, partition=partition)] * (due - sent))
            sent = due
