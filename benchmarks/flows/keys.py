"""A hot key beside a thousand others: how long these take with it and without it."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

from streamzarr.flow import Demand, Message, Spill, from_iterable, ops, run

KEYS, EACH = 1_000, 4
WORKERS = 8
SECONDS = 0.002
"""That a message takes."""
HOT = b"hot"


def seconds_of_the_others(hot: int, spill: Spill | None) -> float:
    """Return when the last message of the other keys is done; `hot` messages come before all of them."""
    pause, begun, last = threading.Event(), time.perf_counter(), 0.0

    def work(key: bytes) -> bytes:
        pause.wait(SECONDS)
        return key

    def settle(messages: Sequence[Message]) -> None:
        nonlocal last
        if any(message.key != HOT for message in messages):
            last = time.perf_counter() - begun

    run(
        from_iterable([HOT] * hot + [b"%d" % key for key in range(KEYS)] * EACH, Demand(256)).pipe(
            ops.partition_by(lambda key: key),
            ops.dispatch(work, workers=WORKERS, by="key", spill=spill),
            ops.settle(settle),
        )
    )
    return last


def hot_key() -> dict[str, float]:
    """Return how many times as long the others take beside a key that has as many messages as they."""
    alone = seconds_of_the_others(0, Spill())
    return {
        "seconds_alone": alone,
        "spilled": seconds_of_the_others(KEYS * EACH, Spill()) / alone,
        "in_memory": seconds_of_the_others(KEYS * EACH, None) / alone,
    }
