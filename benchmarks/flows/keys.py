"""A hot key among a thousand: how many messages a second the others get through beside it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

from streamzarr.flow import Demand, Message, Stop, from_iterable, ops, run
from streamzarr.flow.ops.spill import Spill

KEYS = 999
MESSAGES = 20
"""Of each key; of the hot one as many as of all others together."""
WORKERS = 8
SECONDS = 0.001
"""That a message takes."""
HOT = b"hot"


def others_rate(hot: bool) -> float:
    """Return the messages a second of all keys but the hot one, which takes part or not."""
    stop, pause, left = Stop(), threading.Event(), KEYS * MESSAGES

    def settle(messages: Sequence[Message]) -> None:
        nonlocal left
        left -= sum(message.data != HOT for message in messages)
        if left == 0:
            stop.now()

    def work(key: bytes) -> bytes:
        pause.wait(SECONDS)
        return key

    chain = from_iterable(_messages(hot), Demand(max_demand=1000)).pipe(
        ops.partition_by(lambda key: key),
        ops.dispatch(work, workers=WORKERS, by="key", spill=Spill("100MB")),
        ops.settle(settle),
    )
    begun = time.perf_counter()
    run(chain, stop=stop)
    return KEYS * MESSAGES / (time.perf_counter() - begun)


def _messages(hot: bool) -> Iterator[bytes]:
    for _ in range(MESSAGES):
        for key in range(KEYS):
            yield b"%d" % key
            if hot:
                yield HOT
