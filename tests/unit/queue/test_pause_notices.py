"""What is told on a topic of letters about partitions that pause, and is no letter."""

from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.queue import DeadLetter, DeadLetterQueue, Record
from streamzarr.queue.base import TopicPartition
from streamzarr.queue.letters import PauseNotice, paused_partitions, resume_partitions
from streamzarr.queue.letters.index import LetterIndex
from streamzarr.queue.letters.pauses import is_about_pauses, order_of, ordered
from streamzarr.testing.broker_fake import FakeBroker

NOTICE = PauseNotice("archive", "ticks", 1, 41, "no registry", since=7, worker="host:7")


def read(new, offset=0):
    return Record("ticks.dead", 0, offset, new.key, new.value, new.headers, 0)


def altered(name, value):
    headers = tuple(
        (header, value if header.endswith(name) else old) for header, old in NOTICE.to_record().headers
    )
    return Record("ticks.dead", 0, 0, None, None, headers, 0)


@pytest.mark.parametrize("value", [b"", b"-1", b"x", "\u0661".encode(), b"9" * 30, b"\xff"])
@pytest.mark.parametrize("name", ["partition", "position", "since"])
def test_a_notice_that_makes_no_sense_is_none(name, value):
    if (name, value) != ("since", b"-1"):
        assert PauseNotice.of(altered(name, value)) is None


@pytest.mark.parametrize(
    "value", [b"", b"ticks", b":1", b"ticks:x", b"ticks:-1", b"ticks:" + b"9" * 30, b"\xff:"]
)
def test_an_order_that_makes_no_sense_is_none(value):
    assert ordered(Record("ticks.dead", 0, 0, None, None, (("streamzarr.resume", value),), 0)) is None


@given(st.text("abc.-_", min_size=1), st.integers(0, 1 << 62))
def test_orders_come_through(topic, number):
    partition = TopicPartition(topic, number)
    assert ordered(read(order_of(partition))) == partition


def test_long_reasons_are_cut():
    long = PauseNotice("g", "t", 0, 0, "x" * 5000, 0, "w").to_record()
    assert len(PauseNotice.of(read(long)).reason.encode()) <= 1024


def test_neither_is_a_letter():
    letter = DeadLetter.of(
        Record("ticks", 0, 7, None, b"x", (), 0), error=ValueError(), stage="s"
    ).to_record()
    records = [
        read(each, n) for n, each in enumerate([NOTICE.to_record(), letter, order_of(TopicPartition("t", 0))])
    ]
    assert [is_about_pauses(record) for record in records] == [True, False, True]
    with closing(LetterIndex(records)) as index:
        assert list(index.ids()) == [(0, 1)]


def test_a_notice_holds_until_the_group_has_passed_it():
    broker = FakeBroker()
    for topic in ("ticks", "ticks.dead"):
        broker.create_topic(topic, 2)
    later = PauseNotice("archive", "ticks", 1, 50, "again", since=9, worker="host:8")
    other = PauseNotice("copy", "ticks", 0, 3, "limit", since=5, worker="host:9")
    with broker.producer() as producer:
        producer.send("ticks.dead", [each.to_record() for each in (NOTICE, other, later)])
    assert paused_partitions(broker, "ticks.dead") == [later, other]
    broker.append("ticks", 1, *[b"x"] * 60)
    with broker.consumer(["ticks"], "archive") as consumer:
        consumer.poll(1, 0.0)
        consumer.commit({TopicPartition("ticks", 1): 50})
        assert paused_partitions(broker, "ticks.dead") == [later, other]
        consumer.commit({TopicPartition("ticks", 1): 51})
    assert paused_partitions(broker, "ticks.dead") == [other]
    resume_partitions(broker, "ticks.dead", [TopicPartition("ticks", 0)])
    assert DeadLetterQueue(broker, "ticks.dead").ls() == []
