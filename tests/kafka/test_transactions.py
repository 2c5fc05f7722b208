"""Topics that transactional producers write: markers and aborted records take offsets and are never read."""

import contextlib
import time
import uuid

import pytest

from streamzarr.flow import Demand, LagDemand, Stop, from_topic, ops, run
from streamzarr.flow.demand.lag import group_lag
from streamzarr.queue.kafka.clients import Producer
from streamzarr.queue.scan import scan

pytestmark = pytest.mark.kafka

PATIENCE = 60.0


@pytest.fixture
def client(kafka_broker_url):
    name = f"tx-{uuid.uuid4().hex[:12]}"
    client = Producer(
        {"bootstrap.servers": kafka_broker_url.removeprefix("kafka://"), "transactional.id": name}
    )
    client.init_transactions(PATIENCE)
    return client


@contextlib.contextmanager
def transaction(client, *, abort=False):
    client.begin_transaction()
    yield
    client.flush(PATIENCE)
    (client.abort_transaction if abort else client.commit_transaction)(PATIENCE)


def until_ends_at(broker, topic, expected):
    """Wait for the markers, which are written after the transaction has ended for its producer."""
    deadline = time.monotonic() + PATIENCE
    while dict(broker.describe(topic).end) != expected:
        assert time.monotonic() < deadline, broker.describe(topic)


@pytest.fixture
def written(broker, topic, client):
    """Two records and a marker in the first partition, an aborted record and a marker in the second."""
    with transaction(client):
        client.produce(topic, b"a", partition=0)
        client.produce(topic, b"b", partition=0)
    with transaction(client, abort=True):
        client.produce(topic, b"never", partition=1)
    until_ends_at(broker, topic, {0: 3, 1: 2})
    return topic


def test_scan_ends_behind_markers_and_aborted_records(broker, written):
    started = time.monotonic()
    assert [record.value for record in scan(broker, written)] == [b"a", b"b"]
    assert time.monotonic() - started < 9.0, "not the patience of a silent topic"


def test_positions_pass_markers_and_aborted_records(broker, written):
    records = []
    deadline = time.monotonic() + PATIENCE
    with broker.reader(written) as reader:
        while sorted(reader.positions().values()) != [2, 3]:
            assert time.monotonic() < deadline, reader.positions()
            records += reader.poll(10, 0.1)
    assert [record.value for record in records] == [b"a", b"b"]


def test_an_open_transaction_is_not_there_yet(broker, topic, client):
    with transaction(client):
        client.produce(topic, b"a", partition=0)
        client.flush(PATIENCE)
        assert broker.describe(topic).end == {0: 0, 1: 0}
        assert list(scan(broker, topic)) == []
    until_ends_at(broker, topic, {0: 2, 1: 0})
    assert [record.value for record in scan(broker, topic)] == [b"a"]


def test_a_group_commits_behind_markers_so_that_its_lag_ends(broker, written):
    stop, values, group = Stop(), [], f"g-{written}"
    demand = LagDemand(broker, written, group, max_lag=4, refresh=0.01, stale_after=PATIENCE)
    deadline = time.monotonic() + PATIENCE

    def turn():
        assert time.monotonic() < deadline, (broker.describe(written), broker.committed(group, written))
        demand.room()
        if demand.outstanding == 0:
            stop.drain(5.0)

    chain = from_topic(broker, written, group=group, demand=Demand(4), on_turn=turn)
    run(
        chain.pipe(ops.settle(lambda messages: values.extend(message.data for message in messages))),
        stop=stop,
    )
    assert values == [b"a", b"b"]
    assert broker.committed(group, written) == {0: 3, 1: 2}
    assert group_lag(broker.describe(written), broker.committed(group, written)) == 0
    assert demand.room().messages > 0
