"""What GenStage's users know, row by row, as streamzarr.flow has it.

Each test is named after a row of the table "From GenStage"; the details are tested where each thing is.
"""

import threading

import pytest
import reactivex

from streamzarr import flow
from streamzarr.errors import BufferFullError
from streamzarr.flow import Blocking, Control, Demand, ManualDemand, Refusing, Spilling, Stop, ops, run
from streamzarr.flow.demand.balance import Bounds, split
from streamzarr.supervisor import Restart, RestartPolicy


def data_of(messages):
    return [message.data for message in messages]


def test_max_and_min_demand():
    """``subscribe(max_demand: 10, min_demand: 4)``: never more in flight, and asked again at min_demand."""
    asked, demand = [], Demand(max_demand=10, min_demand=4)

    def pull(count):
        asked.append((count, demand.in_flight))
        return [0] * count if len(asked) < 20 else None

    run(flow.from_pull(pull, demand).pipe(ops.settle()))
    assert demand.peak <= 10
    assert {count for count, _ in asked} == {6}
    assert all(in_flight <= 4 for _, in_flight in asked)
    assert split(1000, Bounds(1000, 600)) == [400, 400, 200]  # Utils.split_batches/5


def test_max_demand_counts_bytes_as_well():
    demand = Demand(100, max_bytes=50)
    run(flow.from_iterable([bytes(20)] * 30, demand).pipe(ops.batch(7), ops.settle()))
    assert demand.peak_bytes <= 50


def test_pull_callback():
    """``handle_demand(n, state)``: the producer is told how many it may emit, and emits no more."""
    given = iter(range(100))
    chain = flow.from_pull(lambda count: [next(given) for _ in range(count)], Demand(5))
    stop, seen = Stop(), []

    def sink(messages):
        seen.extend(data_of(messages))
        if len(seen) >= 20:
            stop.drain(30)

    run(chain.pipe(ops.settle(sink)), stop=stop)
    assert seen == list(range(len(seen)))


def test_manual_demand():
    """``{:manual, state}`` and ``GenStage.ask/3``, from another thread."""
    demand, stop, seen = ManualDemand(10), Stop(), []
    three = threading.Event()

    def sink(messages):
        seen.extend(data_of(messages))
        if len(seen) == 3:
            three.set()
        if len(seen) == 4:
            stop.drain(30)

    def consumer():
        demand.request(3)
        three.wait(30)
        demand.request(1)

    thread = threading.Thread(target=consumer)
    thread.start()
    run(flow.from_iterable(range(1000), demand).pipe(ops.settle(sink)), stop=stop)
    thread.join()
    assert seen == [0, 1, 2, 3]


def test_accumulate_until_ready():
    """``demand: :accumulate``, then ``GenStage.demand(producer, :forward)``."""
    control, taken = Control(start_paused=True), []

    def numbers():
        for n in range(5):
            taken.append(n)
            yield n

    chain = flow.from_iterable(numbers(), Demand(2)).pipe(ops.settle())
    thread = threading.Thread(target=run, args=(chain,), kwargs={"control": control})
    thread.start()
    assert control.barrier(30)
    assert taken == []
    control.resume()
    thread.join(30)
    assert taken == [0, 1, 2, 3, 4]


def test_event_buffer_never_discards():
    """``buffer_size`` and ``buffer_keep``: GenStage drops what is over; here it waits, spills or ends."""

    def burst(buffer, gauge):
        numbers = reactivex.from_iterable([b"%d" % n for n in range(200)])
        chain = flow.from_observable(numbers, Demand(2), buffer)
        watched = chain.pipe(ops.map(lambda item: gauge.append(buffer.buffered) or item))
        return data_of(flow.iter(watched))

    everything, gauge = [b"%d" % n for n in range(200)], []
    assert burst(Blocking(5), gauge) == everything
    assert max(gauge) <= 5
    with Spilling(5, "1MB") as spilling:
        assert burst(spilling, []) == everything
    refusing = Refusing(2)
    refusing.put(1)
    refusing.put(2)
    with pytest.raises(BufferFullError):
        refusing.put(3)
    assert refusing.buffered == 2  # estimate_buffered_count/1


def test_in_band_marker():
    """``sync_info/3`` and ``async_info/2``: delivered only behind the events buffered before it."""
    control, seen, first = Control(), [], threading.Event()
    stop, given = Stop(), [1, 2, 3]

    def pull(count):
        taken, given[:] = given[:count], given[count:]
        if not taken:
            first.set()
        return taken

    chain = flow.from_pull(pull, Demand(20)).pipe(
        ops.batch(10), ops.settle(lambda messages: seen.append(data_of(messages)))
    )
    thread = threading.Thread(target=run, args=(chain,), kwargs={"control": control, "stop": stop})
    thread.start()
    assert first.wait(30)
    control.flush()
    assert control.barrier(30)
    assert seen == [[1, 2, 3]]
    stop.drain(30)
    thread.join(30)


def test_broadcast_dispatcher_with_selectors():
    """``BroadcastDispatcher`` with ``selector:``: demand is that of the slowest consumer."""
    seen, demand = {"all": [], "even": []}, Demand(4)

    def keep(name):
        return ops.map(lambda n: seen[name].append(n) or n)

    chain = flow.from_iterable(range(20), demand).pipe(
        ops.broadcast(
            {"all": [ops.dispatch(lambda n: n, workers=1), keep("all")], "even": [keep("even")]},
            selectors={"even": lambda message: message.data % 2 == 0},
        ),
        ops.settle(),
    )
    assert run(chain).ok == 20
    assert sorted(seen["all"]) == list(range(20))
    assert seen["even"] == list(range(0, 20, 2))
    assert demand.peak <= 4


def test_partition_dispatcher():
    """``PartitionDispatcher``: one key's messages keep their order; ``:none`` is ``ops.drop_if``, settled."""
    seen, lock = {}, threading.Lock()

    def work(item):
        key, n = item
        with lock:
            seen.setdefault(key, []).append(n)
        return item

    items = [(n % 3, n) for n in range(60)]
    chain = flow.from_iterable(items, Demand(12)).pipe(
        ops.drop_if(lambda item: item[0] == 2),
        ops.partition_by(lambda item: item[0]),
        ops.dispatch(work, workers=3, by="key"),
        ops.settle(),
    )
    report = run(chain)
    assert (report.ok, report.skipped) == (40, 20)
    assert seen == {key: [n for k, n in items if k == key] for key in (0, 1)}


def test_enumerable_in_and_out():
    """``from_enumerable/2`` and ``GenStage.stream/2``: iterating under demand both ways."""
    taken = []

    def numbers():
        for n in range(100):
            taken.append(n)
            yield n

    for read, message in enumerate(flow.iter(flow.from_iterable(numbers(), Demand(3)))):
        assert message.data == read
        assert len(taken) <= read + 3
        if read == 10:
            break
    assert len(taken) <= 14


def test_cancel_modes():
    """``cancel: :permanent/:transient/:temporary``: the same three words, of a supervised worker's ends."""
    assert [restart.value for restart in Restart] == ["permanent", "transient", "temporary"]
    assert RestartPolicy().restart is Restart.TRANSIENT  # behaviour: tests/unit/supervisor/test_worker.py
