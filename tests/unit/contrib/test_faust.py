"""The sink of an agent, its Faust made up: acknowledged is what is committed, and no loop waits."""

import asyncio
import subprocess
import sys
from types import SimpleNamespace

import pytest

from streamzarr.contrib.faust import ACKS_AT_ONCE, Batch, FeedSink, make_app, runs_of
from streamzarr.errors import ConfigError, QueueError
from streamzarr.queue import NewRecord, TopicPartition, open_broker
from streamzarr.runtime import SYSTEM
from streamzarr.stream import open_stream


class Signal:
    def connect(self, handler):
        self.send = handler


class Consumer:
    def __init__(self, *partitions):
        self.partitions, self.committed, self.seeks = set(partitions), {}, {}

    def assignment(self):
        return self.partitions

    async def seek(self, partition, offset):
        self.seeks[partition] = offset

    async def _commit(self, offsets):
        self.committed.update(offsets)
        return True


class App:
    """What a sink sees of an app."""

    def __init__(self, *partitions):
        self.on_rebalance_complete, self.on_partitions_revoked = Signal(), Signal()
        self.on_before_shutdown = Signal()
        self.consumer, self.consumer_generation_id = Consumer(*partitions), 1
        self.crashed = None

    async def crash(self, error):
        self.crashed = error

    async def assign(self, generation):
        self.consumer_generation_id = generation
        await self.on_rebalance_complete.send(self)


class Stream:
    """What a sink sees of a stream."""

    concurrency_index = None
    enable_acks = True

    def __init__(self, *batches):
        self.batches, self.acked = batches, []

    async def noack_take(self, most, within):
        self.asked = most, within
        for batch in self.batches:
            yield batch

    async def ack(self, event):
        self.acked.append((event.message.partition, event.message.offset))


def event(offset, partition=0, generation=1):
    message = SimpleNamespace(topic="t", partition=partition, offset=offset, generation_id=generation)
    message.key, message.value, message.timestamp = b"k", b'{"x": %d}' % offset, 1_767_225_600.123
    message.headers = [("h", b"1"), ("n", None)]
    return SimpleNamespace(message=message, value=b"what Faust made of it")


@pytest.fixture
def told(tmp_path):
    broker = f"sqlite:///{tmp_path}/queue.db"
    with open_broker(broker) as opened:
        opened.create_topic("t", 2)
        with opened.producer() as producer:
            records = [NewRecord(b'{"x": %d}' % n, partition=at) for at in (0, 1) for n in range(1200)]
            producer.send("t", records)
    return {
        "source": {"broker": broker, "topics": ["t"]},
        "decode": {"format": "json"},
        "columns": {"x": "i8"},
        "target": {"url": str(tmp_path / "t.zarr"), "commit": {"seconds": 0.25, "rows": 1000}},
    }


@pytest.fixture
def app():
    return App(TopicPartition("t", 0), TopicPartition("t", 1), TopicPartition("reply", 0))


def rows(told, partition=0):
    return open_stream(told["target"]["url"], f"p{partition:05}")["x"][:].tolist()


async def test_a_batch_is_committed_and_then_acknowledged(told, app):
    sink, stream = FeedSink(app, told), Stream()
    await app.assign(1)
    await sink(Batch(stream, [event(0), event(0, 1), event(1), event(1, 1), event(2)]))
    assert (rows(told), rows(told, 1)) == ([0, 1, 2], [0, 1])
    assert sorted(stream.acked) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]


async def test_faust_is_told_where_to_begin_whenever_partitions_are_assigned(told, app):
    sink = FeedSink(app, told)
    await app.assign(1)
    assert app.consumer.committed == {("t", 0): 0, ("t", 1): 0}
    await sink(Batch(Stream(), [event(0), event(1)]))
    await app.assign(2)
    assert app.consumer.committed == app.consumer.seeks == {("t", 0): 2, ("t", 1): 0}


async def test_what_is_not_ours_any_more_is_neither_stored_nor_acknowledged(told, app):
    sink, stream = FeedSink(app, told), Stream()
    await sink(Batch(stream, [event(0)]))  # before any assignment
    await app.assign(1)
    await app.assign(2)
    await sink(Batch(stream, [event(0, generation=1), event(0, 1, generation=2)]))
    await app.on_partitions_revoked.send(app, revoked=app.consumer.assignment())
    await sink(Batch(stream, [event(1, 1, generation=2)]))
    assert stream.acked == [(1, 0)]
    assert (rows(told), rows(told, 1)) == ([], [0])


async def test_what_fails_crashes_the_app_and_is_not_acknowledged(told, app):
    sink, stream = FeedSink(app, told), Stream()
    await app.assign(1)
    with pytest.raises(QueueError, match="1 records from offset 0 on"):
        await sink(Batch(stream, [event(1)]))
    assert isinstance(app.crashed, QueueError)
    assert (stream.acked, rows(told)) == ([], [])


async def test_partitions_that_cannot_be_taken_over_crash_the_app(told, app):
    FeedSink(app, told | {"source": {**told["source"], "topics": ["reply"]}})
    with pytest.raises(QueueError, match="reply"):
        await app.assign(1)
    assert app.crashed is not None


async def test_the_loop_goes_on_while_a_store_is_waited_for(told, app):
    sink, stream = FeedSink(app, told), Stream()
    await app.assign(1)
    go_on = SYSTEM.event()
    store = sink._store

    def slow(batch):
        assert go_on.wait(60)
        return store(batch)

    sink._store = slow
    storing = asyncio.ensure_future(sink(Batch(stream, [event(0)])))
    for _ in range(10):
        await asyncio.sleep(0)
    assert (storing.done(), stream.acked) == (False, [])
    go_on.set()
    await storing
    assert stream.acked == [(0, 0)]


async def test_the_loop_has_its_turn_between_acknowledgements(told, app):
    sink, stream = FeedSink(app, told), Stream()
    await app.assign(1)
    seen = []

    async def look():
        while len(stream.acked) < 1200:
            seen.append(len(stream.acked))
            await asyncio.sleep(0)

    looking = asyncio.ensure_future(look())
    await sink(Batch(stream, [event(offset) for offset in range(1200)]))
    await looking
    assert {ACKS_AT_ONCE, 2 * ACKS_AT_ONCE} <= set(seen)


async def test_revoking_waits_for_what_is_being_stored(told, app):
    sink, stream = FeedSink(app, told), Stream()
    await app.assign(1)
    with sink._claims._turn:
        revoking = asyncio.ensure_future(app.on_partitions_revoked.send(app, revoked=set()))
        done, _ = await asyncio.wait([revoking], timeout=0.05)
        assert not done
    await revoking
    await sink(Batch(stream, [event(0)]))
    assert stream.acked == []


async def test_taking_turns_faust_own_acknowledgement_off(told, app):
    sink, stream = FeedSink(app, told), Stream([event(0)], [event(1), event(2)])
    taken = [len(batch) async for batch in sink.take(stream)]
    assert (taken, stream.asked, stream.enable_acks) == ([1, 2], (1000, 0.25), False)


async def test_an_agent_with_a_concurrency_is_refused(told, app):
    stream = Stream()
    stream.concurrency_index = 0
    with pytest.raises(ConfigError, match="isolated_partitions=True"):
        async for _ in FeedSink(app, told).take(stream):
            pass


async def test_a_shutdown_lets_go(told, app):
    sink, stream = FeedSink(app, told), Stream()
    await app.on_before_shutdown.send(app)
    await app.assign(1)
    await app.on_before_shutdown.send(app)
    await sink(Batch(stream, [event(0)]))
    assert stream.acked == []


def test_events_of_a_batch_are_runs_in_order_each_record_once():
    events = [event(7, 1), event(3), event(8, 1), event(3), event(2), event(4, generation=2)]
    parts = runs_of(Batch(None, events, [b"a", b"b", b"c", b"d", b"e", b"f"]))
    assert [(part.records.partition, part.assignment, part.records.offset_list) for part in parts] == [
        (0, 1, [2, 3]),
        (0, 2, [4]),
        (1, 1, [7, 8]),
    ]
    assert [part.values for part in parts] == [[b"e", b"d"], [b"f"], [b"a", b"c"]]
    assert [len(part.events) for part in parts] == [3, 1, 2]
    [record] = parts[1].records.records()
    assert (record.key, record.value, record.timestamp) == (b"k", b'{"x": 4}', 1_767_225_600_123)
    assert record.headers == (("h", b"1"), ("n", b""))


def test_values_are_one_for_each_record():
    batch = Batch(None, [event(0), event(1)])
    assert batch.with_values([b"a", b"b"]).values == [b"a", b"b"]
    with pytest.raises(ValueError, match="1 values for 2 records"):
        batch.with_values([b"a"])


def test_an_app_needs_faust(told, monkeypatch):
    monkeypatch.setitem(sys.modules, "faust", None)
    with pytest.raises(ConfigError, match=r"pip install 'streamzarr\[faust\]'"):
        make_app(told)


def test_nothing_imports_faust_unless_it_is_asked():
    program = "import sys, streamzarr.contrib.faust; sys.exit('faust' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=100, check=False).returncode == 0
