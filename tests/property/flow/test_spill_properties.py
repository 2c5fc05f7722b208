"""Keys, credit and disk under random logs and bounds: each message once, keys in order, no standstill."""

import reactivex.operators as rx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streamzarr.errors import StoreError
from streamzarr.flow import Demand, Spill, Stop, from_iterable, ops, run
from streamzarr.flow.message import Barrier, Batch, Flush
from streamzarr.queue.retry import RetryPolicy

QUICK = RetryPolicy(attempts=3, base=0.001, jitter=0.5)
behaviours = st.sampled_from(["ok", "ok", "bad", "flaky", "text"])


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(
    log=st.lists(st.tuples(st.sampled_from("hhhhabc"), behaviours), max_size=80),
    max_demand=st.integers(1, 12),
    min_share=st.floats(0, 0.99),
    max_bytes=st.none() | st.integers(1, 200),
    source_batch=st.integers(1, 9),
    workers=st.integers(1, 3),
    share=st.integers(1, 4),
    spool=st.sampled_from([1, 150, 600, 100_000]),
    pieces=st.booleans(),
    size=st.none() | st.integers(1, 20),
    marker_at=st.none() | st.integers(0, 79),
    stop_at=st.none() | st.integers(0, 79),
)
def test_every_message_ends_once_in_the_order_of_its_key(
    log,
    max_demand,
    min_share,
    max_bytes,
    source_batch,
    workers,
    share,
    spool,
    pieces,
    size,
    marker_at,
    stop_at,
):
    demand, stop = Demand(max_demand, int(max_demand * min_share), max_bytes=max_bytes), Stop()
    attempts, seen, passed, begun = {}, [], [], []
    kind = Flush if max_demand % 2 else Barrier
    marker = kind(lambda: passed.append(len(seen)))

    def item(number):
        key, behaviour = log[number]
        data = f"{key}{number:04d}{behaviour}"
        return data if behaviour == "text" else data.encode()  # text cannot be written

    def work(data):
        text = data if isinstance(data, str) else data.decode()
        begun.append(text)
        if stop_at is not None and len(begun) == stop_at:
            stop.drain(20.0)
        attempts[text] = attempts.get(text, 0) + 1
        if "bad" in text:
            raise ValueError(text)
        if "flaky" in text and attempts[text] < 3:
            raise StoreError("503")
        return text

    def mark(batch):
        numbers = [int(m.data[1:5]) for m in batch.messages]
        return Batch(batch.messages, marker) if marker_at in numbers else batch

    operators = [ops.split(lambda data: [data, data])] if pieces else []
    chain = from_iterable(map(item, range(len(log))), demand, batch=source_batch).pipe(
        rx.map(mark),
        *operators,
        ops.partition_by(lambda data: data[:1] if isinstance(data, str) else data[:1].decode()),
        ops.dispatch(work, workers=workers, by="key", retry=QUICK, spill=Spill(share=share, max_bytes=spool)),
        *([] if size is None else [ops.batch(size)]),
        ops.settle(seen.extend),
    )
    report = run(chain, stop=stop)

    assert demand.in_flight == demand.in_flight_bytes == 0
    assert demand.peak <= max_demand
    assert report.left == 0
    assert report.delivered == report.ok + report.failed + report.handed_back
    if not stop.requested:
        assert report.delivered == len(log)
        assert report.failed == sum(behaviour == "bad" for _, behaviour in log)
        assert len(passed) == (marker_at is not None and marker_at < len(log))
    for key in "habc":
        done = [m for m in seen if m.key == key]
        numbers = [int(m.data[1:5]) for m in done]
        assert numbers == sorted(numbers), "a key out of order"
        if not stop.requested:
            expected = [n for n, (k, _) in enumerate(log) if k == key]
            # Of a record whose pieces have both failed the sink gets one.
            assert numbers == [n for n in expected for _ in range(1 + (pieces and log[n][1] != "bad"))]
