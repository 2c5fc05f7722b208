"""Feeds of topics that change: more partitions while it runs, and records that are compacted away."""

import json
import time

import pytest
from confluent_kafka.admin import (
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    ResourceType,
)

from streamzarr.feeds import check_feed
from streamzarr.feeds.status import feed_status
from streamzarr.queue.kafka.clients import AdminClient, Producer
from streamzarr.queue.kafka.handle import Handle
from streamzarr.queue.scan import scan
from tests.support.feeds import FeedBench, until

pytestmark = pytest.mark.kafka

COMPACTED = {
    "cleanup.policy": "compact",
    "segment.ms": "100",
    "min.cleanable.dirty.ratio": "0.01",
    "delete.retention.ms": "100",
    "max.compaction.lag.ms": "200",
}
AT = 1_767_225_600_000
GRID = {
    "columns": {"at": {"dtype": "datetime64[ms]", "unit": "ms"}, "n": "i8"},
    "target": {"layout": "grid", "chunk_rows": 16},
    "grid": {"time": "at", "step": "1s", "values": {"n": "sum"}},
}
WINDOWS = {
    "columns": GRID["columns"],
    "target": {"layout": "windows"},
    "window": {"kind": "fixed", "size": "1s", "time": "at", "values": {"n": "sum"}},
}


@pytest.fixture
def servers(kafka_broker_url):
    return kafka_broker_url.removeprefix("kafka://")


@pytest.fixture
def bench(kafka_broker_url, tmp_path):
    return FeedBench(kafka_broker_url, tmp_path, 1)


def test_partitions_that_come_while_a_feed_runs(bench, servers):
    bench.ticks(10)
    with bench.running() as ended:
        until(lambda: ended or bench.caught_up(bench.feed()))
        admin = Handle(AdminClient({"bootstrap.servers": servers})).client
        admin.create_partitions([NewPartitions(bench.topic, 3)])[bench.topic].result()
        until(lambda: bench.broker.describe(bench.topic).partitions == 3)
        bench.ticks(5, partition=1)
        bench.ticks(5, partition=2)
        since = time.monotonic()
        until(lambda: ended or bench.caught_up(bench.feed()))
        assert not ended, "nothing has ended it"
        assert time.monotonic() - since < 30
    assert sorted(bench.streams()) == ["p00000", "p00001", "p00002"]
    assert all(each.ok for each in check_feed(bench.target, bench.broker))
    assert feed_status(bench.target, bench.broker).lag == 0


def test_a_feed_from_the_end_misses_nothing_of_partitions_that_come_later(bench, servers):
    bench.ticks(10)
    feed = bench.feed(source={"start": "end"})
    bench.ingest(feed)
    admin = Handle(AdminClient({"bootstrap.servers": servers})).client
    admin.create_partitions([NewPartitions(bench.topic, 2)])[bench.topic].result()
    until(lambda: bench.broker.describe(bench.topic).partitions == 2)
    bench.ticks(5, start=10, partition=1)  # before anybody has taken it
    bench.ingest(feed)
    assert [each.rows for each in bench.streams().values()] == [0, 5]
    assert all(each.ok for each in check_feed(bench.target, bench.broker))


@pytest.mark.parametrize("more", [{}, GRID, WINDOWS], ids=["log", "grid", "windows"])
def test_records_that_are_compacted_away_are_no_fault(bench, servers, more):
    admin = Handle(AdminClient({"bootstrap.servers": servers})).client
    compact(admin, bench.topic)
    producer = Handle(Producer({"bootstrap.servers": servers})).client
    for number in range(40):  # the keys come again and again, and some are deleted at last
        value = {"n": number, "bid": 1.0, "symbol": "x", "at": AT + 500 * number}
        producer.produce(
            bench.topic, None if number % 7 == 6 else json.dumps(value).encode(), f"k{number % 3}"
        )
        assert not producer.flush(30)
    feed = bench.feed(**more)
    bench.ingest(feed)
    [before] = check_feed(bench.target, bench.broker)
    assert (before.ok, before.dead) == (True, 5)

    def compacted():
        producer.produce(bench.topic, b"", "more")  # only segments that are full are compacted
        assert not producer.flush(30)
        return sum(1 for record in scan(bench.broker, bench.topic) if record.key != b"more") < 20

    until(compacted, "compaction")
    bench.ingest(feed)  # and begins at a hole
    [found] = check_feed(bench.target, bench.broker)
    assert found.ok, found
    assert feed_status(bench.target, bench.broker).lag == 0
    if not more:
        assert found.compacted > 10


def compact(admin, topic):
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
        for name, value in COMPACTED.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    [answer] = admin.incremental_alter_configs([resource]).values()
    answer.result()
