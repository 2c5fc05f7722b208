"""What a hot key does to the others, and what of it waits on disk: counted, not timed."""

import gc
import sys
import threading
import time

import pytest

from streamzarr.errors import ConfigError, StreamzarrError
from streamzarr.flow import Demand, Message, Spill, Stop, from_iterable, from_topic, ops, run
from streamzarr.flow.dispatch import by_key
from streamzarr.flow.message import Barrier, Batch
from streamzarr.flow.ops.schedule import Item, Schedule
from streamzarr.flow.spool import Spool
from streamzarr.queue.base import TopicPartition
from streamzarr.testing.broker_fake import FakeBroker
from tests.support.keyed import by_first, go, numbered


def ticks_until_cold_are_done(hot, *, keys=1_000, each=10, workers=8):
    """Return how many messages' time the cold keys take, with `hot` messages of another key mixed in."""
    schedule = Schedule(by_key(lambda item: item.message.key))
    log = [Item(Message(key=number % keys)) for number in range(keys * each)]
    for number in range(hot):
        log.insert(number * 2, Item(Message(key="hot")))
    busy, ticks, left = {}, 0, keys * each
    for worker in range(workers):
        schedule.join(worker)
        schedule.ask(worker)
    for worker, (item,) in schedule.add(log):
        busy[worker] = item
    while left:
        ticks += 1
        for worker, item in sorted(busy.items()):
            left -= item.message.key != "hot"
            del busy[worker]
            for other, (begun,) in schedule.finish(worker, item) + schedule.ask(worker):
                busy[other] = begun
    return ticks


def test_a_hot_key_among_a_thousand_slows_the_others_by_no_more_than_a_fifth():
    alone, mixed = ticks_until_cold_are_done(0), ticks_until_cold_are_done(10_000)
    assert alone == 1_250
    assert mixed / alone <= 1.2


def test_a_hot_key_that_is_stuck_does_not_hold_up_the_others():
    # The hot key's worker waits until all messages of the cold keys are done, although 3,000 of its own come
    # before them in the log and only 64 fit into memory. Without a spool it would wait for ever.
    gate, done = threading.Event(), []
    cold = [b"%d%06d" % (n % 10, n) for n in range(200)]

    def fn(data):
        if data[:1] == b"h":
            assert gate.wait(60)
        else:
            done.append(data)
            if len(done) == len(cold):
                gate.set()
        return data

    report, seen = go(
        [b"h%06d" % n for n in range(3_000)] + cold,
        ops.partition_by(by_first),
        ops.dispatch(fn, workers=2, by="key", spill=Spill(share=4)),
        demand=64,
    )
    assert (report.ok, len(done)) == (3_200, 200)
    assert [m.data for m in seen if m.key == b"h"] == [b"h%06d" % n for n in range(3_000)]


def test_a_hot_key_takes_no_more_memory_than_its_share():
    demand, peaks = Demand(1_000), []
    gate = threading.Event()

    def fn(data):
        if data[:1] == b"h" and not gate.is_set():
            assert gate.wait(60)
        elif data == b"c999999":
            peaks.append(demand.in_flight)
            gate.set()
        return data

    go(
        [b"h%06d" % n for n in range(5_000)] + [b"c999999"],
        ops.partition_by(by_first),
        ops.dispatch(fn, workers=2, by="key", spill=Spill(share=8)),
        demand=demand,
    )
    assert peaks[0] <= 8 + 1 + 500 + 64  # and what the source emits at once


def test_at_the_bound_of_the_spool_the_source_is_held_and_nothing_is_lost():
    demand, gate, taken = Demand(32), threading.Event(), []

    def source():
        for n in range(500):
            taken.append(n)
            yield b"h%06d" % n

    def fn(data):
        if not gate.is_set():
            threading.Timer(0.3, gate.set).start()
            assert gate.wait(60)
            assert len(taken) < 150, "the source was not held"
        return data

    report, seen = go(
        source(),
        ops.partition_by(by_first),
        ops.dispatch(fn, workers=2, by="key", spill=Spill(share=2, max_bytes=5_000)),
        demand=demand,
    )
    assert report.ok == 500
    assert [m.data for m in seen] == [b"h%06d" % n for n in range(500)]


def test_memory_is_flat_behind_a_slow_key():
    gate, blocks = threading.Event(), []
    records = 50_000

    def source():
        for n in range(records):
            if n in (5_000, records - 1):
                gc.collect()
                blocks.append(sys.getallocatedblocks())
            yield b"h%06d" % n + bytes(200)
        gate.set()

    def fn(data):
        assert gate.wait(120)
        return len(data)

    demand = Demand(256)
    report = run(
        from_iterable(source(), demand).pipe(
            ops.partition_by(by_first),
            ops.dispatch(fn, workers=2, by="key", spill=Spill(share=4)),
            ops.settle(),
        )
    )
    assert report.ok == records
    # One in memory takes three blocks and more; for what is on disk some bytes are kept, in few blocks.
    assert blocks[1] - blocks[0] < records // 5, "memory grew with what is on disk"
    assert demand.peak <= 256


def test_credit_that_is_held_by_a_batch_behind_the_dispatch_comes_free():
    # All credit waits in the batch, and what is on disk waits for credit: the batch has to let go.
    items = numbered(b"a" * 50)
    report, seen = go(
        items,
        ops.partition_by(by_first),
        ops.dispatch(lambda data: data, workers=2, by="key", spill=Spill(share=1)),
        ops.batch(size=100),
        demand=4,
    )
    assert report.ok == 50
    assert [m.data for m in seen] == items


def test_decoded_data_are_spilled_as_they_are_written():
    gate = threading.Event()

    def fn(pair):
        if pair == ("h", 99):
            return pair
        gate.wait(0.001)
        return pair

    report, seen = go(
        [("h", n) for n in range(100)],
        ops.partition_by(lambda pair: pair[0]),
        ops.dispatch(
            fn,
            workers=2,
            by="key",
            spill=Spill(
                share=2,
                encode=lambda pair: f"{pair[0]}{pair[1]}".encode(),
                decode=lambda data: (data[:1].decode(), int(data[1:])),
            ),
        ),
        demand=8,
    )
    assert report.ok == 100
    assert [m.data for m in seen] == [("h", n) for n in range(100)]


def test_what_cannot_be_written_or_read_fails_alone():
    def encode(data):
        if data == "h13":
            raise ValueError("unlucky to write")
        return data.encode()

    def decode(data):
        if data == b"h17":
            raise ValueError("unlucky to read")
        return data.decode()

    gate = threading.Event()
    items = [f"h{n}" for n in range(40)]

    def source():
        yield from items
        gate.set()

    report, seen = go(
        source(),
        ops.partition_by(lambda data: data[0]),
        ops.dispatch(
            lambda data: gate.wait(60) and data,
            workers=1,
            by="key",
            stage="work",
            spill=Spill(share=2, encode=encode, decode=decode),
        ),
        demand=8,
    )
    assert (report.ok, report.failed) == (38, 2)
    assert [str(m.failure.error) for m in seen if m.failure] == ["unlucky to write", "unlucky to read"]
    assert [m.data for m in seen if not m.failure] == [d for d in items if d not in ("h13", "h17")]


def test_data_that_cannot_be_written_stay_in_memory_and_hold_the_source():
    demand = Demand(8)
    report, seen = go(
        [["h", n] for n in range(60)],
        ops.partition_by(lambda data: data[0]),
        ops.dispatch(lambda data: data, workers=2, by="key", spill=Spill(share=2)),
        demand=demand,
    )
    assert (report.ok, demand.peak) == (60, 8)
    assert [m.data[1] for m in seen] == list(range(60))


def test_pieces_of_a_record_stay_in_memory_and_in_order():
    from streamzarr.flow.graph import staged
    from streamzarr.flow.stage import Stage

    class InTwo(Stage):
        def receive(self, messages):
            for message in messages:
                self.emit(self.chain.split(message, [message.data + b"x", message.data + b"y"]))

    report, seen = go(
        numbered(b"a" * 20),
        staged(InTwo),
        ops.partition_by(by_first),
        ops.dispatch(lambda data: data, workers=2, by="key", spill=Spill(share=1)),
    )
    assert report.ok == 20
    assert [m.data[-1:] for m in seen] == [b"x", b"y"] * 20


def test_a_drain_hands_back_what_is_on_disk():
    stop, begun, gate = Stop(), threading.Event(), threading.Event()

    def fn(data):
        begun.set()
        gate.wait(60)
        return data

    def source():
        for n in range(200):
            if n == 150:
                assert begun.wait(60)
                stop.drain(30.0)
                gate.set()
            yield b"h%06d" % n

    report, seen = go(
        source(),
        ops.partition_by(by_first),
        ops.dispatch(fn, workers=2, by="key", spill=Spill(share=2)),
        stop=stop,
    )
    assert report.ok == len(seen) >= 1
    assert (report.left, report.handed_back) == (0, report.delivered - report.ok)
    assert [m.data for m in seen] == [b"h%06d" % n for n in range(len(seen))]


def test_a_chain_that_breaks_counts_what_is_on_disk_as_left():
    gate = threading.Event()

    def source():
        yield from (b"h%06d" % n for n in range(100))
        gate.set()
        raise OSError("source broke")

    demand = Demand(16)
    chain = from_iterable(source(), demand).pipe(
        ops.partition_by(by_first),
        ops.dispatch(lambda data: gate.wait(60), workers=1, by="key", spill=Spill(share=2)),
        ops.settle(),
    )
    with pytest.raises(OSError, match="source broke"):
        run(chain)
    assert demand.in_flight == 0


def test_a_full_disk_breaks_the_chain_and_says_so(monkeypatch):
    def full(self, data, queue=None):
        raise StreamzarrError("spooling 99 bytes in /tmp: No space left on device")

    monkeypatch.setattr(Spool, "append", full)
    demand = Demand(16)
    chain = from_iterable(numbered(b"h" * 100), demand).pipe(
        ops.partition_by(by_first),
        ops.dispatch(lambda data: data, by="key", spill=Spill(share=1)),
        ops.settle(),
    )
    with pytest.raises(StreamzarrError, match="No space left"):
        run(chain)
    assert demand.in_flight == 0


def test_a_barrier_waits_for_what_is_on_disk():
    import reactivex.operators as rx

    passed, seen = [], []
    barrier = Barrier(lambda: passed.append(len(seen)))

    def with_barrier(batch):
        last = batch.messages[-1].data == b"h000039"
        return Batch(batch.messages, barrier) if last else batch

    run(
        from_iterable(numbered(b"h" * 60), Demand(8), batch=4).pipe(
            rx.map(with_barrier),
            ops.partition_by(by_first),
            ops.dispatch(lambda data: data, workers=2, by="key", spill=Spill(share=1)),
            ops.settle(seen.extend),
        )
    )
    assert passed == [40]
    assert [m.data for m in seen] == numbered(b"h" * 60)


@pytest.mark.parametrize(
    "options", [{"share": 0}, {"encode": bytes}, {"decode": bytes}], ids=lambda options: next(iter(options))
)
def test_a_spill_that_makes_no_sense_is_refused(options):
    with pytest.raises(ConfigError):
        Spill(**options)


@pytest.mark.parametrize("options", [{}, {"by": "key", "ordered": True}])
def test_spilling_is_for_keys(options):
    with pytest.raises(ConfigError, match='is for by="key"'):
        ops.dispatch(print, spill=Spill(), **options)


# -- a topic ---------------------------------------------------------------------------------------------

P0, P1 = TopicPartition("ticks", 0), TopicPartition("ticks", 1)


def topic(partitions, records):
    """Return a broker whose topic has `records` of one hot key in each partition."""
    broker = FakeBroker()
    broker.create_topic("ticks", partitions)
    for n in range(records):
        for partition in range(partitions):
            broker.append("ticks", partition, b"%d-%06d" % (partition, n))
    return broker


def chain_of(broker, fn, sink, demand, spill):
    return from_topic(broker, "ticks", group="g", demand=demand).pipe(
        ops.partition_by(lambda value: "hot"),
        ops.dispatch(fn, workers=2, by="key", spill=spill),
        ops.settle(sink),
    )


def test_records_come_back_whole_and_are_committed_when_they_are_settled():
    broker, stop, seen = topic(1, 300), Stop(), []
    demand = Demand(16)
    read, positions = threading.Event(), []

    def fn(value):
        if not read.is_set():
            until(lambda: broker.consumers[-1].positions()[P0] == 300)
            positions.append(broker.committed("g", "ticks").get(0, 0))
            read.set()
        return value

    def sink(messages):
        seen.extend(messages)
        if len(seen) == 300:
            stop.drain(10.0)

    report = run(chain_of(broker, fn, sink, demand, Spill(share=2)), stop=stop)
    assert report.ok == 300
    assert positions == [0]
    assert broker.committed("g", "ticks") == {0: 300}
    assert [m.record for m in seen] == [broker.read(P0, n) for n in range(300)]
    assert [m.data for m in seen] == [m.record.value for m in seen]
    assert demand.in_flight == 0
    assert demand.peak <= 16


@pytest.mark.parametrize("how", ["revoked", "lost"])
def test_what_is_on_disk_of_a_partition_that_leaves_is_handed_back(how):
    broker, stop, seen = topic(2, 150), Stop(), []
    gone = threading.Event()

    def fn(value):
        if not gone.is_set():
            until(lambda: sum(broker.consumers[-1].positions().values()) == 300)
            broker.consumers[-1].rebalance(how, P1)
            gone.set()
            if how == "lost":  # a revocation waits for what has begun
                until(lambda: P1 not in broker.consumers[-1].assignment())
        return value

    def sink(messages):
        seen.extend(m for m in messages)
        if sum(m.record.partition == 0 for m in seen) == 150:
            stop.drain(10.0)

    report = run(chain_of(broker, fn, sink, Demand(16), Spill(share=2)), stop=stop)
    assert [m.data for m in seen if m.record.partition == 0] == [b"0-%06d" % n for n in range(150)]
    of_one = [m.record.offset for m in seen if m.record.partition == 1]
    assert of_one == list(range(len(of_one)))
    assert len(of_one) <= 3
    committed = broker.committed("g", "ticks")
    assert committed[0] == 150
    assert committed.get(1, 0) <= len(of_one)
    assert report.delivered == 300 == report.ok + report.handed_back
    assert report.left == 0


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        threading.Event().wait(0.005)
