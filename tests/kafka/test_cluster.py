"""What a real cluster does to us: restarts, freezes, refusals."""

import contextlib
import gc
import os
import threading
import time
import uuid

import pytest
from confluent_kafka import ConsumerGroupType, KafkaError
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from streamzarr.errors import FencedError, MessageError, QueueError, TopicNotFoundError
from streamzarr.queue import NewRecord, TopicPartition, open_broker
from streamzarr.queue.kafka.clients import AdminClient

pytestmark = pytest.mark.kafka

PATIENCE = 60.0


@pytest.fixture
def broker(kafka_process):
    with open_broker(kafka_process.url) as broker:
        yield broker


@pytest.fixture
def impatient(kafka_process):
    """A broker that gives a request two seconds."""
    with open_broker(f"{kafka_process.url}?request_timeout=2") as broker:
        yield broker


@contextlib.contextmanager
def frozen(process):
    process.freeze()
    try:
        yield
    finally:
        process.thaw()


@contextlib.contextmanager
def takes_at_most(seconds):
    started = time.monotonic()
    yield
    took = time.monotonic() - started
    assert took < seconds, f"took {took:.1f} s"


def send(broker, topic, count, start=0, partitions=2):
    with broker.producer() as producer:
        producer.send(
            topic, [NewRecord(b"%d" % n, partition=n % partitions) for n in range(start, start + count)]
        )


def take(reader, count):
    records = []
    deadline = time.monotonic() + PATIENCE
    while len(records) < count:
        assert time.monotonic() < deadline, f"got {len(records)} of {count}"
        records += reader.poll(count - len(records), 0.2)
    return records


def until(condition, *consumers):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        for consumer in consumers:
            consumer.poll(0, 0.05)


# ---------------------------------------------------------------- groups


@pytest.mark.parametrize("protocol", [None, "consumer", "classic"])
def test_the_group_protocol_is_kip_848_unless_the_url_says_otherwise(kafka_process, topic, group, protocol):
    url = kafka_process.url + (f"?group.protocol={protocol}" if protocol else "")
    client = AdminClient({"bootstrap.servers": kafka_process.bootstrap})
    with open_broker(url) as broker, broker.consumer([topic], group) as consumer:
        until(consumer.assignment, consumer)
        kinds = {each.group_id: each.type for each in client.list_consumer_groups().result().valid}
    assert kinds[group] == (
        ConsumerGroupType.CLASSIC if protocol == "classic" else ConsumerGroupType.CONSUMER
    )


def test_a_kip_848_group_gets_the_session_timeout_that_was_asked_for(kafka_process, broker, topic, group):
    with broker.consumer([topic], group, session_timeout=3.0):
        pass
    resource = ConfigResource(ResourceType.GROUP, group)
    client = AdminClient({"bootstrap.servers": kafka_process.bootstrap})

    def told():
        [configs] = [each.result() for each in client.describe_configs([resource]).values()]
        return configs["consumer.session.timeout.ms"].value

    until(lambda: told() == "3000")  # what the controller has taken, the broker learns a little later


def test_a_session_timeout_that_the_cluster_refuses_is_raised_to_its_minimum(broker, topic, group):
    with broker.consumer([topic], group, session_timeout=0.1) as consumer:
        until(consumer.assignment, consumer)


def test_poll_does_not_wait_for_more_when_some_are_there(broker, topic, group):
    send(broker, topic, 10)
    with broker.consumer([topic], group) as consumer:
        take(consumer, 10)
        send(broker, topic, 10)
        with takes_at_most(10.0):
            assert consumer.poll(1_000_000, 30.0)


def test_pausing_and_resuming_over_and_over_leaves_no_gap(broker, topic, group):
    send(broker, topic, 2000)
    with broker.consumer([topic], group) as consumer:
        records = take(consumer, 1)
        while len(records) < 2000:
            owned = sorted(consumer.assignment())
            consumer.pause(owned)
            consumer.poll(0, 0.0)
            consumer.resume(owned)
            records += take(consumer, min(400, 2000 - len(records)))
    for partition in range(2):
        assert [r.offset for r in records if r.partition == partition] == list(range(1000))


@pytest.mark.parametrize("extension", [True, False])
def test_a_consumer_that_stalls_for_long_keeps_little_and_goes_on_without_a_gap(
    broker, topic, group, extension, monkeypatch
):
    monkeypatch.setenv("STREAMZARR_NO_EXTENSIONS", "" if extension else "1")
    monkeypatch.setattr("streamzarr.queue.kafka.consumer._SERVE_SECONDS", 0.005)  # a stall of 5 s in 0.5
    send(broker, topic, 5000)
    with broker.consumer([topic], group) as consumer:
        records = take(consumer, 10)
        deadline = time.monotonic() + 2.0
        while time.monotonic() < deadline:
            assert consumer.poll(0, 0.1) == []
        kept = consumer._fetcher.backlog.records
        if consumer._client.intake is None:
            assert 100 <= kept <= 110
        else:
            assert kept == 0, "what waits is in librdkafka's queue, within its bound"
        records += take(consumer, 4990)
    for partition in range(2):
        assert [r.offset for r in records if r.partition == partition] == list(range(2500))


class CommitsWhenRevoked:
    """Commits the last moment."""

    def on_assigned(self, partitions):
        pass

    def on_revoked(self, partitions):
        self.consumer.commit(dict.fromkeys(partitions, 4))

    def on_lost(self, partitions):
        raise AssertionError("closing is no loss")


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_a_commit_inside_close_counts(kafka_process, topic, group, protocol):
    with open_broker(f"{kafka_process.url}?group.protocol={protocol}") as broker:
        send(broker, topic, 20)
        listener = CommitsWhenRevoked()
        with broker.consumer([topic], group, listener=listener) as listener.consumer:
            take(listener.consumer, 20)
        assert broker.committed(group, topic) == {0: 4, 1: 4}


def test_rebalances_while_a_member_commits_all_the_time_cost_nobody_a_partition(broker, topic, group):
    """A revoked partition is given up in order: never lost, because a commit was just under way."""
    send(broker, topic, 20)
    log = []

    class Listener(CommitsWhenRevoked):
        def on_lost(self, partitions):
            log.extend(partitions)

    listener = Listener()
    with broker.consumer([topic], group, listener=listener) as listener.consumer:
        take(listener.consumer, 20)
        for _ in range(5):
            with broker.consumer([topic], group) as other:
                deadline = time.monotonic() + PATIENCE
                while len(other.assignment()) != 1:
                    assert time.monotonic() < deadline
                    for _ in range(20):
                        with contextlib.suppress(FencedError):
                            listener.consumer.commit(dict.fromkeys(listener.consumer.assignment(), 5))
                    listener.consumer.poll(0, 0.0)
                    other.poll(0, 0.0)
            until(lambda: len(listener.consumer.assignment()) == 2, listener.consumer)
    assert log == []


# ---------------------------------------------------------------- restarts


@pytest.mark.parametrize(("end", "protocol"), [("kill", "consumer"), ("stop", "classic")])
def test_a_restarted_broker_loses_nothing(kafka_process, topic, group, protocol, end):
    """Records are sent, read and committed all the time while the broker goes and comes back."""
    count, sent = 3000, threading.Event()
    with open_broker(f"{kafka_process.url}?group.protocol={protocol}&request_timeout=60") as broker:

        def produce():
            with broker.producer() as producer:
                for n in range(count):
                    producer.send(topic, [NewRecord(b"%d" % n, partition=n % 2)])
                    if n % 100 == 0:
                        producer.flush(PATIENCE)
                    if n == count // 3:
                        sent.set()

        producing = threading.Thread(target=produce)
        producing.start()
        assert sent.wait(PATIENCE)
        restarting = threading.Thread(target=lambda: (getattr(kafka_process, end)(), kafka_process.start()))
        seen = []
        with broker.consumer([topic], group) as consumer:
            seen += take(consumer, count // 6)
            restarting.start()
            deadline = time.monotonic() + PATIENCE
            while len({record.value for record in seen}) < count:
                seen += consumer.poll(500, 0.2)
                # A member that the restart has cost its partitions reads them again.
                with contextlib.suppress(FencedError):
                    consumer.commit(consumer.positions())
                assert time.monotonic() < deadline, f"read {len(seen)}"
            committed = broker.committed(group, topic)
        producing.join()
        restarting.join()
        assert {int(record.value) for record in seen} == set(range(count))
        assert broker.describe(topic).end == {0: count // 2, 1: count // 2}, "no record twice"
        assert committed == {0: count // 2, 1: count // 2}


def test_a_broker_object_survives_a_restart(kafka_process, broker, topic):
    assert topic in broker.topics()
    kafka_process.stop()
    kafka_process.start()
    assert broker.describe(topic).partitions == 2


# ---------------------------------------------------------------- a cluster that does not answer


def test_a_commit_to_a_silent_cluster_ends_and_the_consumer_goes_on(kafka_process, impatient, topic, group):
    send(impatient, topic, 20)
    with impatient.consumer([topic], group, session_timeout=30.0) as consumer:
        take(consumer, 20)
        with (
            frozen(kafka_process),
            takes_at_most(4.0),
            pytest.raises(QueueError, match="not confirmed within"),
        ):
            consumer.commit(dict.fromkeys(consumer.assignment(), 5))
        consumer.commit(dict.fromkeys(consumer.assignment(), 6))
        send(impatient, topic, 2, start=20)
        assert {record.value for record in take(consumer, 2)} == {b"20", b"21"}
    assert impatient.committed(group, topic) == {0: 6, 1: 6}


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_a_silence_longer_than_the_session_costs_the_partitions_not_the_consumer(
    kafka_process, topic, group, protocol
):
    """Where librdkafka's synchronous commit never returns."""
    with open_broker(f"{kafka_process.url}?group.protocol={protocol}&request_timeout=8") as broker:
        send(broker, topic, 20)
        with broker.consumer([topic], group, session_timeout=2.0) as consumer:
            take(consumer, 20)
            with frozen(kafka_process), takes_at_most(12.0), pytest.raises(QueueError):
                consumer.commit(dict.fromkeys(consumer.assignment(), 5))

            def committed():
                try:
                    consumer.commit(dict.fromkeys(consumer.assignment(), 7))
                except QueueError:
                    return False
                except FencedError:
                    return False
                return len(consumer.assignment()) == 2

            until(committed, consumer)
        assert broker.committed(group, topic) == {0: 7, 1: 7}


def test_closing_while_the_cluster_is_silent_ends(kafka_process, impatient, topic, group):
    send(impatient, topic, 10)
    consumer, reader, producer = (
        impatient.consumer([topic], group),
        impatient.reader(topic),
        impatient.producer(),
    )
    take(consumer, 10)
    take(reader, 10)
    producer.send(topic, [NewRecord(b"x")])
    producer.flush()
    with frozen(kafka_process), takes_at_most(10.0):
        consumer.close()
        reader.close()
        producer.close()
        impatient.close()
        del consumer, reader, producer
        gc.collect()


def test_a_flush_to_a_silent_cluster_ends_and_the_producer_goes_on(kafka_process, broker, topic):
    with broker.producer() as producer:
        producer.send(topic, [NewRecord(b"first", partition=0)])
        producer.flush()
        with frozen(kafka_process), takes_at_most(5.0):
            producer.send(topic, [NewRecord(b"lost", partition=0)] * 3)
            with pytest.raises(QueueError, match=r"3 records were not written within 1 s .*3 of " + topic):
                producer.flush(1.0)
            producer.flush(1.0)  # told once; nothing is queued any more
        producer.send(topic, [NewRecord(b"second", partition=0)])
        producer.flush()
    with broker.reader(topic) as reader:
        values = [record.value for record in take(reader, broker.describe(topic).end[0])]
    # Those that were under way may have arrived: nothing is known of them, and nothing was promised.
    assert values[0] == b"first"
    assert values.count(b"second") == 1
    assert set(values[1:]) <= {b"second", b"lost"}


@pytest.mark.parametrize(
    "call", ["topics", "create", "describe", "groups", "committed", "consumer", "reader", "send"]
)
def test_an_unreachable_cluster_is_one_sentence_in_time(call):
    broker = open_broker("kafka://127.0.0.1:1?request_timeout=0.5")
    with takes_at_most(3.0), pytest.raises(QueueError) as caught:  # noqa: PT012 - one of these calls
        match call:
            case "topics":
                broker.topics()
            case "create":
                broker.create_topic("t")
            case "describe":
                broker.describe("t")
            case "groups":
                broker.groups()
            case "committed":
                broker.committed("g", "t")
            case "consumer":
                broker.consumer(["t"], "g")
            case "reader":
                broker.reader("t")
            case "send":
                broker.producer().send("t", [NewRecord(b"x")])
    message = str(caught.value)
    assert message.startswith("kafka://127.0.0.1:1: not reached within 0.5 s")
    assert message.endswith("Connection refused")
    assert "\n" not in message


# ---------------------------------------------------------------- writing


def test_a_full_queue_is_backpressure_and_keeps_the_order(kafka_process, topic):
    with open_broker(f"{kafka_process.url}?queue.buffering.max.messages=10") as broker:
        send(broker, topic, 2000, partitions=1)
        with broker.reader(topic) as reader:
            assert [int(record.value) for record in take(reader, 2000)] == list(range(2000))


def test_records_that_the_cluster_refuses_are_counted_by_place(kafka_process, broker, topic):
    limit = ConfigEntry("max.message.bytes", "1000", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[limit])
    client = AdminClient({"bootstrap.servers": kafka_process.bootstrap})
    for done in client.incremental_alter_configs([resource]).values():
        done.result()
    producer = broker.producer()
    for n in range(3):
        producer.send(topic, [NewRecord(os.urandom(3000), partition=n % 2)])
    with pytest.raises(QueueError, match="records were not written"):  # noqa: PT012 - each in its own batch
        for _ in range(3):
            producer.flush()
    producer.send(topic, [NewRecord(b"small", partition=0)])
    producer.close()
    assert broker.describe(topic).end == {0: 1, 1: 0}


def test_a_record_beyond_the_client_s_limit_is_refused_at_once(broker, topic):
    with (
        broker.producer() as producer,
        pytest.raises(MessageError, match=r"2000000 bytes .*message\.max\.bytes"),
    ):
        producer.send(topic, [NewRecord(b"x" * 2_000_000)])


def test_a_partition_that_does_not_exist_is_refused(broker, topic):
    with broker.producer() as producer:
        for number in (2, -2):
            with pytest.raises(QueueError, match=f"has 2 partitions, got {number}"):
                producer.send(topic, [NewRecord(b"x", partition=number)])


def test_a_topic_deleted_under_a_producer_is_an_error(broker):
    name = f"short-lived-{uuid.uuid4().hex[:8]}"
    broker.create_topic(name)
    producer = broker.producer()
    producer.send(name, [NewRecord(b"x")])
    producer.flush()
    broker.delete_topic(name)
    with pytest.raises(TopicNotFoundError, match=name):  # noqa: PT012 - at once, or when it is flushed
        producer.send(name, [NewRecord(b"x")])
        producer.flush()
    assert name not in broker.topics()


@pytest.mark.parametrize("is_gone", [True, False])
def test_a_partition_that_is_taken_from_its_broker_is_of_a_topic_that_is_gone_or_not(broker, topic, is_gone):
    name = "never-there" if is_gone else topic
    with broker.producer() as producer:
        producer._failures.add(TopicPartition(name, 0), 1, KafkaError(KafkaError._DESTROY))
        with pytest.raises(QueueError, match=name) as caught:
            producer.flush()
    assert (caught.type is TopicNotFoundError) == is_gone


# ---------------------------------------------------------------- reading


def test_a_reader_beyond_the_end_is_an_error_that_says_where(broker, topic):
    send(broker, topic, 4)
    expected = pytest.raises(QueueError, match=rf"position 99 of {topic}\[0\] is out of range")
    with broker.reader(topic, {0: 99}) as reader, expected:
        take(reader, 4)


def test_a_reader_leaves_no_group_behind(broker, topic):
    send(broker, topic, 4)
    with broker.reader(topic) as reader:
        take(reader, 4)
        assert not [info.name for info in broker.groups() if "reader" in info.name]


def test_a_topic_deleted_under_a_consumer_is_an_error(broker, group):
    name = f"short-lived-{uuid.uuid4().hex[:8]}"
    broker.create_topic(name)
    with broker.consumer([name], group) as consumer:
        until(consumer.assignment, consumer)
        broker.delete_topic(name)
        with pytest.raises(TopicNotFoundError, match=name):
            take(consumer, 1)
