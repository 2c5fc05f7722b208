"""What a hot key costs the others: 1,000 keys beside one that has as many messages as all of them.

    python benchmarks/keys.py [--workers 8] [--millis 2]

Each message takes `millis` of a worker's time. Printed is when the last message of the other keys was done,
without the hot key, with it, and with it where its surplus may not leave memory.
"""

import argparse
import time
from threading import Event

from streamzarr.flow import Demand, Spill, from_iterable, ops, run

KEYS, EACH = 1_000, 4


def seconds_of_the_others(hot: int, workers: int, millis: float, spill: Spill | None) -> float:
    log = [b"%d" % (n % KEYS) for n in range(KEYS * EACH)]
    for n in range(hot):
        log.insert(n, b"hot")  # all of them come first: the worst case of a log
    pause, begun, last = Event(), time.perf_counter(), 0.0

    def work(data: bytes) -> bytes:
        pause.wait(millis / 1_000)
        return data

    def sink(messages: list) -> None:
        nonlocal last
        if any(message.key != b"hot" for message in messages):
            last = time.perf_counter() - begun

    run(
        from_iterable(log, Demand(256)).pipe(
            ops.partition_by(lambda data: data),
            ops.dispatch(work, workers=workers, by="key", spill=spill),
            ops.settle(sink),
        )
    )
    return last


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", type=int, default=8)
    parser.add_argument("--millis", type=float, default=2.0)
    options = parser.parse_args()
    cases = {
        "without the hot key": (0, Spill()),
        "with it, spilled": (KEYS * EACH, Spill()),
        "with it, in memory": (KEYS * EACH, None),
    }
    alone = None
    for name, (hot, spill) in cases.items():
        seconds = seconds_of_the_others(hot, options.workers, options.millis, spill)
        alone = alone or seconds
        print(f"{name:22} {seconds:6.2f} s  {seconds / alone:5.2f}x")


if __name__ == "__main__":
    main()
