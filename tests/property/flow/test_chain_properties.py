"""Whole chains with real threads, over random shapes and behaviours: every message settled exactly once."""

import threading
from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamzarr.errors import QueueError, StoreError
from streamzarr.flow import Demand, Stop, from_iterable, ops, run
from streamzarr.queue.retry import RetryPolicy

QUICK = RetryPolicy(attempts=3, base=0.001, jitter=0.5)

behaviours = st.sampled_from(["ok", "ok", "ok", "bad", "flaky", "down", "slow", "drop", "unparsable"])


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    items=st.lists(behaviours, max_size=60),
    max_demand=st.integers(1, 20),
    min_share=st.floats(0, 0.99),
    source_batch=st.integers(1, 20),
    workers=st.integers(1, 4),
    size=st.none() | st.integers(1, 30),
    sink_faults=st.integers(0, 3),
    stop_after=st.none() | st.integers(0, 60),
)
def test_every_message_is_settled_exactly_once_within_demand(
    items, max_demand, min_share, source_batch, workers, size, sink_faults, stop_after
):
    demand = Demand(max_demand, int(max_demand * min_share), max_bytes=200)
    stop, lock = Stop(), threading.Lock()
    attempts, stored, flying = Counter(), [], []
    faults = [QueueError("away")] * sink_faults

    def parse(item):
        if item[1] == "unparsable":
            raise ValueError(item)
        return item

    def work(item):
        number, behaviour = item
        with lock:
            attempts[number] += 1
            flying.append((demand.in_flight, demand.in_flight_bytes))
        if stop_after is not None and len(attempts) == stop_after:
            stop.drain(20.0)
        if behaviour == "bad":
            raise ValueError(number)
        if behaviour == "down" or (behaviour == "flaky" and attempts[number] < 3):
            raise StoreError("503")
        if behaviour == "slow":
            threading.Event().wait(0.001)
        return item

    def sink(messages):
        if faults:
            raise faults.pop()
        stored.extend(messages)

    operators = [
        ops.map(parse),
        ops.drop_if(lambda item: item[1] == "drop"),
        ops.dispatch(work, workers=workers, retry=QUICK),
        ops.settle(sink, retry=RetryPolicy(attempts=9, base=0.001)),
    ]
    if size is not None:
        operators.insert(2 if workers % 2 else 3, ops.batch(size=size))
    numbered = list(enumerate(items))
    chain = from_iterable(numbered, demand, batch=source_batch, size_of=lambda item: 10 + item[0] * 7 % 190)
    report = run(chain.pipe(*operators), stop=stop)

    numbers = [message.data[0] for message in stored]
    assert len(set(numbers)) == len(numbers), "settled twice"
    assert report.delivered == report.ok + report.failed + report.skipped + report.handed_back
    assert report.left == 0
    assert report.ok + report.failed == len(stored)
    if not report.stopped:
        dropped = {n for n, behaviour in numbered if behaviour == "drop"}
        assert set(numbers) == {n for n, _ in numbered} - dropped
        assert report.skipped == len(dropped)
    for message in stored:
        number, behaviour = message.data
        assert (message.failure is not None) == (behaviour in ("bad", "down", "unparsable"))
        expected = {"flaky": 3, "down": 3, "unparsable": 0}.get(behaviour, 1)
        assert message.attempts == attempts[number] == expected
    assert all(count <= max_demand for count, _ in flying)
    assert all(nbytes <= 200 or count == 1 for count, nbytes in flying)
    assert demand.peak <= max_demand
    assert (demand.in_flight, demand.in_flight_bytes) == (0, 0)


@settings(deadline=None, max_examples=40)
@given(
    count=st.integers(0, 100),
    max_demand=st.integers(1, 30),
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=3),
    sink_faults=st.lists(st.booleans(), max_size=20),
)
def test_without_threads_order_is_kept(count, max_demand, sizes, sink_faults):
    stored, faults = [], list(sink_faults)

    def sink(messages):
        if faults and faults.pop():
            raise QueueError("away")
        stored.extend(message.data for message in messages)

    chain = from_iterable(range(count), Demand(max_demand)).pipe(
        *[ops.batch(size=size) for size in sizes],
        ops.map(lambda n: n),
        ops.settle(sink, retry=RetryPolicy(attempts=30, base=0.0)),
    )
    run(chain)
    assert stored == list(range(count))
