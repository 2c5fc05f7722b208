"""Rebalances at awkward moments, commanded through a client of our own; needs no broker.

Real brokers rebalance when they like, so what happens in the two milliseconds of a commit is tested here.
"""

import contextlib
from types import SimpleNamespace

import pytest
from confluent_kafka import KafkaError, KafkaException

from streamzarr.errors import DamagedRecordError, FencedError, OffsetOutOfRangeError, QueueError
from streamzarr.queue.base import TopicPartition
from streamzarr.queue.kafka import consumer as module
from streamzarr.queue.kafka.committed import Stored
from streamzarr.queue.kafka.config import KafkaConfig
from streamzarr.queue.retry import is_transient
from tests.support.librdkafka import Client, Listener, Message

A, B = TopicPartition("t", 0), TopicPartition("t", 1)


@pytest.fixture
def listener():
    return Listener()


@pytest.fixture
def consumer(listener, monkeypatch):
    monkeypatch.setattr(module, "Client", Client)
    monkeypatch.setattr("streamzarr.queue.kafka.intake.Message", Message)
    monkeypatch.setattr("streamzarr.queue.kafka.columns.Message", Message)
    admin = SimpleNamespace(
        config=KafkaConfig.parse("kafka://h?request_timeout=0.2"),
        stored=lambda group, partitions, member: {A: Stored(10, "")},
        begin=lambda partitions: dict.fromkeys(partitions, 3),
        end=lambda partitions: dict.fromkeys(partitions, 5),
        describe_soon=lambda topics: {},
    )
    return module.KafkaConsumer(admin, {"queued.max.messages.kbytes": 1024}, {"t": "1"}, "g", listener)


@pytest.fixture
def client(consumer):
    return consumer._client


def offsets(records):
    return [(record.partition, record.offset) for record in records]


def test_a_group_starts_where_it_committed_and_elsewhere_at_the_beginning(consumer, client):
    client.assign(A, B)
    assert consumer.poll(10, 0) == []
    assert consumer.positions() == {A: 10, B: 3}
    assert ("incremental_assign", A, 10) in client.calls
    assert ("incremental_assign", B, -2) in client.calls, "the beginning, wherever it is by then"


def test_a_seek_inside_on_assigned_is_where_reading_starts(consumer, client, listener):
    listener.during["assigned"] = lambda partitions: consumer.seek({A: 77})
    client.assign(A, B)
    consumer.poll(10, 0)
    assert ("incremental_assign", A, 77) in client.calls
    assert consumer.positions() == {A: 77, B: 3}


def test_a_seek_while_the_client_is_busy_takes_effect_when_it_has_returned(consumer, client, listener):
    client.assign(A)
    consumer.poll(10, 0)
    listener.during["assigned"] = lambda partitions: consumer.seek({A: 50})
    client.record(A, 10)
    client.assign(B)
    client.record(A, 11)
    client.record(B, 3)
    assert offsets(consumer.poll(10, 0)) == [(1, 3)], "nothing from where the other had been"
    assert ("seek", A, 50) in client.calls
    assert consumer.positions() == {A: 50, B: 4}
    client.record(A, 50)
    assert offsets(consumer.poll(10, 0)) == [(0, 50)]


def test_an_end_that_was_told_before_a_seek_is_not_passed(consumer, client, listener):
    client.assign(A)
    consumer.poll(10, 0)
    listener.during["assigned"] = lambda partitions: consumer.seek({A: 5})
    client.assign(B)
    client.fail(A, KafkaError._PARTITION_EOF, 10)
    assert consumer.poll(10, 0) == []
    assert consumer.positions() == {A: 5, B: 3}


def test_a_pause_inside_on_assigned_takes_effect_after_it(consumer, client, listener):
    listener.during["assigned"] = lambda partitions: consumer.pause([B])
    client.assign(A, B)
    consumer.poll(10, 0)
    names = [call[0] for call in client.calls if call[1] == B]
    assert names == ["incremental_assign", "pause"]


def test_records_of_a_partition_revoked_in_the_same_batch_are_not_returned(consumer, client):
    client.assign(A, B)
    client.record(A, 10)
    client.record(B, 3)
    client.revoke(A)
    client.record(B, 4)
    assert offsets(consumer.poll(10, 0)) == [(1, 3), (1, 4)]
    assert consumer.assignment() == {B}


def test_what_a_listener_raises_loses_no_record(consumer, client, listener):
    def fail(partitions):
        raise RuntimeError("drain failed")

    listener.during["revoked"] = fail
    client.assign(A, B)
    client.record(B, 3)
    client.revoke(A)
    client.record(B, 4)
    with pytest.raises(RuntimeError, match="drain failed"):
        consumer.poll(10, 0)
    assert offsets(consumer.poll(10, 0)) == [(1, 3), (1, 4)]
    assert ("incremental_unassign", A, -1001) in client.calls, "the rebalance goes on"


def test_records_that_come_while_a_commit_waits_are_kept_in_order(consumer, client):
    client.assign(A)
    client.record(A, 10)
    consumer.poll(1, 0)
    client.record(A, 11)
    client.record(A, 12)
    client.answer()
    consumer.commit({A: 11})
    client.record(A, 13)
    assert offsets(consumer.poll(10, 0)) == [(0, 11), (0, 12), (0, 13)]


def test_a_partition_revoked_while_a_commit_waits_is_reported_lost_by_the_next_poll(
    consumer, client, listener
):
    client.assign(A, B)
    client.record(A, 10)
    consumer.poll(10, 0)
    client.record(A, 11)
    client.revoke(A)
    client.answer()
    consumer.commit({A: 11})
    assert listener.log == [("assigned", {A, B})], "no callback outside of poll"
    assert consumer.assignment() == {A, B}, "as far as the listener knows"
    consumer.pause([A])  # of no consequence, but no error
    consumer.resume([A])
    with pytest.raises(FencedError):
        consumer.commit({A: 11})
    assert offsets(consumer.poll(10, 0)) == []
    assert listener.log[1:] == [("lost", {A})]
    assert consumer.assignment() == {B}


def test_lost_and_assigned_again_while_a_commit_waits(consumer, client, listener):
    client.assign(A)
    client.record(A, 10)
    client.record(A, 11)
    consumer.poll(1, 0)
    client.lose(A)
    client.assign(A)
    client.record(A, 10)
    client.answer(KafkaError.UNKNOWN_MEMBER_ID)
    with pytest.raises(FencedError):
        consumer.commit({A: 12})
    assert offsets(consumer.poll(10, 0)) == [(0, 10)]
    assert listener.log == [("assigned", {A}), ("lost", {A}), ("assigned", {A})]
    assert consumer.positions() == {A: 11}


def test_a_commit_that_the_coordinator_confirms_needs_no_look_at_the_queue(consumer, client, listener):
    client.assign(A)
    consumer.poll(1, 0)
    client.revoke(A)
    client.stored = 11
    consumer.commit({A: 11})
    assert listener.log == [("assigned", {A})]
    consumer.poll(1, 0)
    assert listener.log[1:] == [("revoked", {A})], "in order, so that it can finish its work"


def test_another_position_at_the_coordinator_confirms_nothing(consumer, client):
    client.assign(A)
    consumer.poll(1, 0)
    client.stored = 99
    client.answer(KafkaError.UNKNOWN_MEMBER_ID)
    with pytest.raises(FencedError):
        consumer.commit({A: 11})


def test_taking_one_record_at_a_time_of_many_that_wait_still_hears_of_rebalances(consumer, client, listener):
    client.assign(A, B)
    consumer.poll(1, 0)
    for offset in range(10, 500):
        client.record(A, offset)
    client.answer()
    consumer.commit({A: 10})
    client.revoke(B)
    for offset in range(10, 20):
        assert offsets(consumer.poll(1, 0)) == [(0, offset)]
        consumer._next_serve = 0.0  # as if time had passed
    assert listener.log[-1] == ("revoked", {B})


def test_a_commit_that_crossed_a_rebalance_is_tried_again(consumer, client):
    client.assign(A)
    consumer.poll(1, 0)
    client.answer(KafkaError.STALE_MEMBER_EPOCH)
    original = client.commit

    def commit(offsets, asynchronous):
        original(offsets, asynchronous)
        if not client.events:
            client.answer()

    client.commit = commit
    consumer.commit({A: 11})


def test_a_fenced_member_is_told_at_once(consumer, client):
    client.assign(A, B)
    consumer.poll(1, 0)
    client.answer(KafkaError.UNKNOWN_MEMBER_ID)
    with pytest.raises(FencedError, match=r"t\[0\], t\[1\]"):
        consumer.commit({A: 11, B: 4})


def test_a_commit_that_is_not_answered_is_an_error_and_not_the_end(consumer, client):
    client.assign(A)
    consumer.poll(1, 0)
    with pytest.raises(QueueError, match=r"not confirmed within 0\.2 s"):
        consumer.commit({A: 11})
    client.answer()  # late, of the first one
    client.answer()
    consumer.commit({A: 12})


def test_a_commit_that_cannot_be_sent_is_an_error(consumer, client):
    client.assign(A)
    consumer.poll(1, 0)

    def refuse(offsets, asynchronous):
        raise KafkaException(KafkaError(KafkaError._STATE))

    client.commit = refuse
    with pytest.raises(QueueError, match=r"cannot commit t\[0\]"):
        consumer.commit({A: 11})


def test_a_commit_inside_on_revoked_does_not_wait_and_its_failure_is_raised_by_poll(
    consumer, client, listener
):
    listener.during["revoked"] = lambda partitions: consumer.commit({A: 15})
    client.assign(A)
    consumer.poll(1, 0)
    client.revoke(A)
    client.answer(KafkaError.OFFSET_METADATA_TOO_LARGE)
    with pytest.raises(QueueError, match=r"cannot commit t\[0\]"):
        consumer.poll(1, 0)


def test_a_fenced_commit_inside_on_revoked_is_no_error(consumer, client, listener):
    listener.during["revoked"] = lambda partitions: consumer.commit({A: 15})
    client.assign(A)
    consumer.poll(1, 0)
    client.revoke(A)
    client.answer(KafkaError.UNKNOWN_MEMBER_ID)
    assert consumer.poll(1, 0) == []


@contextlib.contextmanager
def unreachable(consumer, error=QueueError):
    """Have nobody say where a group is, for the time being."""

    def ask(group, partitions, member):
        raise error("not reached")

    stored, consumer._admin.stored = consumer._admin.stored, ask
    yield
    consumer._admin.stored = stored


def test_without_positions_nothing_is_read(consumer, client):
    with unreachable(consumer):
        client.assign(A)
        client.record(A, 0)
        for _ in range(2):
            with pytest.raises(QueueError, match="not reached"):
                consumer.poll(10, 0)
    client.record(A, 10)
    assert offsets(consumer.poll(10, 0)) == [(0, 10)], "and not what came in between"


def test_what_could_not_be_begun_is_begun_as_soon_as_positions_are_known(consumer, client, listener):
    with unreachable(consumer):
        client.assign(A, B)
        for _ in range(2):
            with pytest.raises(QueueError, match="not reached"):
                consumer.poll(10, 0)
    assert (listener.log, consumer.assignment(), client.calls) == ([], frozenset(), [])
    consumer.poll(10, 0)
    assert listener.log == [("assigned", {A, B})]
    assert consumer.positions() == {A: 10, B: 3}
    assert client.calls[:2] == [("incremental_assign", A, 10), ("incremental_assign", B, -2)]


def test_who_is_interrupted_while_it_asks_where_to_begin_begins_later(consumer, client, listener):
    with unreachable(consumer, KeyboardInterrupt):
        client.assign(A, B)
        with pytest.raises(KeyboardInterrupt):
            consumer.poll(10, 0)
    consumer.poll(10, 0)
    assert listener.log == [("assigned", {A, B})]
    assert consumer.positions() == {A: 10, B: 3}


@pytest.mark.parametrize("taken", ["revoke", "lose"])
def test_what_was_never_begun_is_given_back_without_a_word(consumer, client, listener, taken):
    with unreachable(consumer):
        client.assign(A)
        with pytest.raises(QueueError, match="not reached"):
            consumer.poll(10, 0)
        getattr(client, taken)(A)
        assert consumer.poll(10, 0) == []
    assert (listener.log, consumer.assignment(), client.calls) == ([], frozenset(), [])


def test_what_was_never_begun_is_given_back_beside_what_was(consumer, client, listener):
    client.assign(A)
    consumer.poll(10, 0)
    with unreachable(consumer):
        client.assign(B)
        with pytest.raises(QueueError, match="not reached"):
            consumer.poll(10, 0)
        client.lose(A, B)
        assert consumer.poll(10, 0) == []
    assert listener.log == [("assigned", {A}), ("lost", {A})]
    assert [call for call in client.calls if call[0] == "incremental_unassign"] == [
        ("incremental_unassign", A, -1001)
    ]


def test_a_client_that_has_given_up_is_an_error_for_good(consumer, client):
    client.assign(A)
    client.fail(A, KafkaError._FATAL)
    for _ in range(3):  # librdkafka says so once, and returns nothing from then on
        with pytest.raises(QueueError, match=r"_FATAL|(?i:fatal)") as caught:
            consumer.poll(10, 0)
        assert not is_transient(caught.value)


def test_a_client_that_gives_up_while_a_commit_waits_is_an_error_for_good(consumer, client):
    client.assign(A)
    consumer.poll(10, 0)
    client.fail(A, KafkaError._FATAL)
    for call in (lambda: consumer.commit({A: 11}), lambda: consumer.poll(10, 0)):
        with pytest.raises(QueueError, match=r"_FATAL|(?i:fatal)"):
            call()


def test_a_position_out_of_range_is_an_error_until_somebody_seeks(consumer, client):
    client.assign(A, B)
    client.record(B, 3)
    client.fail(A, KafkaError._AUTO_OFFSET_RESET)
    assert offsets(consumer.poll(10, 0)) == [(1, 3)]
    for _ in range(2):
        with pytest.raises(QueueError, match=r"position 10 of t\[0\] is out of range"):
            consumer.poll(10, 0)
    consumer.seek({A: 20})
    assert consumer.poll(10, 0) == []


def test_records_behind_damaged_ones_are_returned_only_after_a_seek(consumer, client, monkeypatch):
    monkeypatch.setattr("streamzarr.queue.kafka.fetch.first_behind", lambda admin, partition, offset: 14)
    client.assign(A, B)
    client.record(A, 10)
    client.fail(A, KafkaError._BAD_MSG, 11)
    client.record(B, 3)
    client.record(A, 14)
    client.record(A, 15)
    assert offsets(consumer.poll(10, 0)) == [(0, 10), (1, 3)]
    for _ in range(2):
        with pytest.raises(DamagedRecordError, match=r"t\[0\]: the records from offset 11 to 13") as caught:
            consumer.poll(10, 0)
    assert not is_transient(caught.value)
    assert consumer.positions()[A] == 11
    consumer.seek({A: caught.value.resume})
    client.record(A, 14)
    assert offsets(consumer.poll(10, 0)) == [(0, 14)]


def test_other_partitions_go_on_while_one_is_out_of_range(consumer, client):
    client.assign(A, B)
    client.fail(A, KafkaError._AUTO_OFFSET_RESET)
    for offset in range(3, 9):
        client.record(B, offset)
    got, errors = [], 0
    while len(got) < 6:
        try:
            got += consumer.poll(1, 0)
        except OffsetOutOfRangeError:
            errors += 1
    assert offsets(got) == [(1, offset) for offset in range(3, 9)]
    assert errors >= 3


def test_a_position_passes_the_end_of_a_partition_only_behind_the_records_before_it(consumer, client):
    client.assign(A)
    client.record(A, 10)
    client.record(A, 11)
    client.fail(A, KafkaError._PARTITION_EOF, 15)
    assert offsets(consumer.poll(1, 0)) == [(0, 10)]
    assert consumer.positions() == {A: 11}
    assert offsets(consumer.poll(1, 0)) == [(0, 11)]
    consumer.poll(1, 0)
    assert consumer.positions() == {A: 15}


def test_the_end_of_a_partition_that_was_sought_is_forgotten(consumer, client):
    client.assign(A)
    client.record(A, 10)
    consumer.poll(1, 0)
    client.record(A, 11)
    client.fail(A, KafkaError._PARTITION_EOF, 15)
    client.answer()
    consumer.commit({A: 11})  # both come while it waits
    consumer.seek({A: 5})
    assert consumer.poll(1, 0) == []
    assert consumer.positions() == {A: 5}


def test_a_consumer_without_demand_stops_fetching_and_goes_on_without_a_gap(consumer, client):
    client.assign(A)
    consumer.poll(1, 0)
    for offset in range(10, 200):
        client.record(A, offset)
    for _ in range(500):
        assert consumer.poll(0, 0.0) == []
        consumer._next_serve = 0.0  # as if time had passed
    assert len(client.events) == 90, "a hundred records are kept, then nothing is fetched"
    assert ("pause", A, -1001) in client.calls
    assert offsets(consumer.poll(500, 0)) == [(0, offset) for offset in range(10, 200)]
    assert client.calls[-1] == ("resume", A, -1001)


def test_a_failing_listener_does_not_keep_the_group_waiting_for_close(consumer, client, listener):
    def fail(partitions):
        raise RuntimeError("listener")

    listener.during["lost"] = fail
    client.assign(A)
    consumer.poll(1, 0)
    client.lose(A)
    client.answer()
    with pytest.raises(FencedError):
        consumer.commit({A: 11, B: 1})
    with pytest.raises(RuntimeError, match="listener"):
        consumer.close()
    assert ("close",) in client.calls
    consumer.close()
