"""Chains whose work goes by key, and what notes how it went."""

import threading
from collections import Counter, defaultdict

from streamzarr.flow import Demand, from_iterable, ops, run
from streamzarr.queue.retry import RetryPolicy

FAST = RetryPolicy(attempts=3, base=0.005, jitter=0.0)


def go(items, *operators, demand=16, **options):
    seen = []
    demand = demand if isinstance(demand, Demand) else Demand(demand)
    report = run(from_iterable(items, demand).pipe(*operators, ops.settle(seen.extend)), **options)
    assert demand.in_flight == demand.in_flight_bytes == 0
    return report, seen


def by_first(data):
    return data[:1]


class Recorder:
    """A function that notes what runs at once, and in which order keys are worked on."""

    def __init__(self, behave=lambda data: None):
        self.lock = threading.Lock()
        self.running, self.most = Counter(), Counter()
        self.order = defaultdict(list)
        self._behave = behave

    def __call__(self, data):
        key = data[:1]
        with self.lock:
            self.running[key] += 1
            self.most[key] = max(self.most[key], self.running[key])
            self.order[key].append(data)
        try:
            return self._behave(data) or data
        finally:
            with self.lock:
                self.running[key] -= 1


def numbered(keys):
    """Return items that sort as they come, by key."""
    return [b"%c%06d" % (key, number) for number, key in enumerate(keys)]
