"""The feed of the demo: this machine's own counters, sent to a topic and ingested while they come."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from streamzarr.errors import NodeNotFoundError, StreamzarrError, TopicNotFoundError
from streamzarr.feed_fleet import FeedFleet
from streamzarr.feeds import check_feed
from streamzarr.queue import NewRecord, Producer, dead_letter_topic, open_broker
from streamzarr.runtime import SYSTEM
from streamzarr.stream import Snapshot, open_stream

EVERY: Final = 0.05
"""Seconds between two readings of all counters."""
SHOWN_EVERY: Final = 1.0
PARTITION: Final = "p00000"

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class FeedResult:
    """What the feed of the demo did."""

    target: str
    sent: int
    """Records that were sent."""
    rows: int
    """Rows that are in the target, each exactly once."""
    seconds: float


def counters() -> dict[str, float]:
    """Return what this machine says of itself; what it does not say is left out."""
    disk, net = psutil.disk_io_counters(), psutil.net_io_counters()
    return {
        "cpu": psutil.cpu_percent(),
        "memory": float(psutil.virtual_memory().used),
        **({"disk_read": disk.read_bytes, "disk_written": disk.write_bytes} if disk else {}),
        **({"received": net.bytes_recv, "sent": net.bytes_sent} if net else {}),
    }


def run_feed_demo(
    output: Path, broker: str, topic: str, *, seconds: float, keep: bool, say: Say
) -> FeedResult:
    """Send this machine's counters to `topic` for some seconds, ingest them meanwhile, and check the rows.

    Parameters
    ----------
    output
        Folder of the target, ``machine.zarr``; what is there is replaced.
    keep
        Whether the topics stay.

    Raises
    ------
    streamzarr.errors.StreamzarrError
        A record is missing from the target, or is there twice.
    """
    began, target = SYSTEM.now(), output / "machine.zarr"
    shutil.rmtree(target, ignore_errors=True)
    with open_broker(broker) as opened:
        opened.create_topic(topic)
        try:
            with FeedFleet(_feed(broker, topic, target)) as fleet, opened.producer() as producer:
                say(f"feed      {topic}: this machine's counters, {seconds:g} s, into {target}")
                fleet.wait_ready()
                sent = _send(producer, topic, seconds, lambda: _show(target, say))
                fleet.wait_caught_up(60.0)
            found = check_feed(str(target), opened)
            rows = sum(each.rows for each in found)
            if rows != sent or not all(each.ok for each in found):
                raise StreamzarrError(f"{target}: {sent} records were sent, but the check found {found}")
        finally:
            if not keep:
                for name in (topic, dead_letter_topic(topic)):
                    with suppress(TopicNotFoundError):
                        opened.delete_topic(name)
    say(f"check     each of {sent} records is in {target} exactly once, in order")
    return FeedResult(str(target), sent, rows, SYSTEM.now() - began)


def _feed(broker: str, topic: str, target: Path) -> dict[str, Any]:
    return {
        "source": {"broker": broker, "topics": [topic]},
        "decode": {"format": "json"},
        "columns": {"time": "datetime64[ns]", "sensor": "string", "value": "f8"},
        "target": {"url": str(target), "chunk_rows": 1024, "commit": {"seconds": 0.2}},
    }


def _send(producer: Producer, topic: str, seconds: float, show: Callable[[], None]) -> int:
    """Send readings until the time is over; return how many."""
    sent, shown, end, pause = 0, SYSTEM.now(), SYSTEM.now() + seconds, SYSTEM.event()
    while SYSTEM.now() < end:
        records = list(_records())
        producer.send(topic, records)
        producer.flush()
        sent += len(records)
        pause.wait(EVERY)
        if SYSTEM.now() - shown >= SHOWN_EVERY:
            shown = SYSTEM.now()
            show()
    return sent


def _records() -> Iterator[NewRecord]:
    time = SYSTEM.wall_ns()
    for name, value in counters().items():
        reading = {"time": time, "sensor": name, "value": value}
        yield NewRecord(json.dumps(reading).encode(), key=name.encode(), partition=0)


def _show(target: Path, say: Say) -> None:
    """Say what the array holds now: what any reader sees."""
    try:
        stream = open_stream(str(target), PARTITION)
    except NodeNotFoundError:
        say("feed      no rows yet")
        return
    latest = _latest(stream)
    shown = ", ".join(f"{name} {_short(value)}" for name, value in latest.items())
    say(f"feed      {stream.rows} rows, commit {stream.record.seq}: {shown}")


def _latest(stream: Snapshot) -> dict[str, float]:
    """Return the last value of each sensor."""
    names, values = stream["sensor"][-20:], stream["value"][-20:]
    return {str(name): float(value) for name, value in zip(names, np.asarray(values), strict=True)}


def _short(value: float) -> str:
    return f"{value:.0f}" if value < 1000 else f"{value:.2e}"
