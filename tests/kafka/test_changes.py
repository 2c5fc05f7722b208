"""Topics that change while they are read: made anew, and with more partitions."""

import time

import pytest

from streamzarr.errors import TopicReplacedError
from streamzarr.flow import Demand, Stop, from_topic, ops, run
from streamzarr.queue import NewRecord, TopicPartition, open_broker
from streamzarr.queue.kafka.clients import AdminClient

pytestmark = pytest.mark.kafka

PATIENCE = 90.0


@pytest.fixture(params=["classic", "consumer"])
def broker(request, kafka_broker_url):
    with open_broker(f"{kafka_broker_url}?group.protocol={request.param}") as broker:
        yield broker


def put(broker, topic, *records):
    with broker.producer() as producer:
        producer.send(topic, records)


def numbered(start, stop, partition):
    return [NewRecord(b"%d" % n, partition=partition) for n in range(start, stop)]


def make_anew(broker, topic):
    broker.delete_topic(topic)
    broker.create_topic(topic, 2)


def read(consumer, count):
    found, deadline = [], time.monotonic() + PATIENCE
    while len(found) < count:
        assert time.monotonic() < deadline, len(found)
        found += consumer.poll(100, 0.1)
    return found


def test_a_topic_made_anew_is_an_error_and_a_restart_reads_it_from_its_beginning(broker, topic, group):
    put(broker, topic, *numbered(0, 5, 0))
    with broker.consumer([topic], group) as consumer:
        read(consumer, 5)
        consumer.commit({TopicPartition(topic, 0): 5})
        make_anew(broker, topic)
        put(broker, topic, *numbered(100, 110, 0))
        deadline = time.monotonic() + PATIENCE
        with pytest.raises(TopicReplacedError, match=f"'{topic}' was deleted and made anew"):  # noqa: PT012
            while time.monotonic() < deadline:
                for record in consumer.poll(100, 0.1):
                    consumer.commit({TopicPartition(topic, record.partition): record.offset + 1})
        with pytest.raises(TopicReplacedError):
            consumer.commit({TopicPartition(topic, 0): 10})
    with broker.consumer([topic], group) as consumer:
        assert [int(record.value) for record in read(consumer, 10)] == list(range(100, 110))


def test_it_breaks_a_chain_and_the_next_one_stores_all_of_the_new_topic(broker, topic, group):
    stored = set()

    def follow(stop):
        def look():
            if {b"%d" % n for n in range(100, 110)} <= stored and ended:
                stop.drain(10.0)

        chain = from_topic(broker, topic, group=group, demand=Demand(100), stop=stop, on_turn=look).pipe(
            ops.settle(lambda messages: store(m.data for m in messages))
        )
        return run(chain, stop=stop)

    def store(values):
        stored.update(values)
        if b"4" in stored and not anew:
            anew.append(True)
            make_anew(broker, topic)
            put(broker, topic, *numbered(100, 110, 0))

    anew, ended = [], []
    put(broker, topic, *numbered(0, 5, 0))
    with pytest.raises(TopicReplacedError):
        follow(Stop())
    ended.append(True)
    stored.clear()
    follow(Stop())
    assert stored == {b"%d" % n for n in range(100, 110)}


def test_partitions_that_are_added_are_read_and_written_while_it_runs(kafka_broker_url, broker, topic, group):
    from confluent_kafka.admin import NewPartitions

    admin = AdminClient({"bootstrap.servers": kafka_broker_url.removeprefix("kafka://")})
    with broker.producer() as producer, broker.consumer([topic], group) as consumer:
        producer.send(topic, numbered(0, 5, 1))
        assert len(read(consumer, 5)) == 5
        [made] = admin.create_partitions([NewPartitions(topic, 4)]).values()
        made.result()
        producer.send(topic, numbered(5, 10, 3))
        producer.flush()
        assert {record.partition for record in read(consumer, 5)} == {3}
        producer.send(topic, [NewRecord(b"x", key=b"%d" % n) for n in range(50)])
        producer.flush()
        assert {record.partition for record in read(consumer, 50)} == {0, 1, 2, 3}
