"""Retry topics: what does not work now waits elsewhere, and its partition goes on."""

import pytest

from streamzarr.errors import StoreError
from streamzarr.pipeline import Message, Pipeline, RetryTopic, telemetry
from streamzarr.pipeline.retries import restored, to_retry
from streamzarr.queue.base import NewRecord, Record
from streamzarr.queue.retry import RetryPolicy
from streamzarr.runtime import SYSTEM
from tests.support.pipelines import Noted, until


class Flaky(Pipeline):
    """Works at the third visit of what is flaky, and never of what is hopeless."""

    retry = RetryPolicy(attempts=2, base=0.001)

    def handle_message(self, message, context):
        with context.lock:
            context.handled.append((message.value, message.topic, message.offset, message.tier))
        if message.value == b"flaky" and message.tier < 2:
            raise StoreError("away")
        if message.value == b"hopeless":
            raise TimeoutError("nobody answers")
        context.note(context.stored, [message.value])
        return message

    def handle_failed(self, messages, context):
        context.note(context.calls, [message.value for message in messages])
        return messages


class Poison(Flaky):
    """Has a message that never works as well."""

    def handle_message(self, message, context):
        if message.value == b"bad":
            raise ValueError("bad")
        return super().handle_message(message, context)


def test_what_may_work_later_waits_in_retry_topics_and_then_is_a_letter(place):
    topic, dead = place.topic("in"), place.topic("dead")
    tiers = [RetryTopic(place.topic("retry-1"), 0.2), RetryTopic(place.topic("retry-2"), 0.3)]
    noted = Noted()
    place.fill(topic, [b"n0", b"flaky", b"hopeless", b"n1"])
    with Flaky.start(
        source=place.source(topic), dead_letters=dead, retry_topics=tiers, context=noted
    ) as pipeline:
        until(lambda: place.committed(topic) == {0: 4}, "the partition goes on")
        began = SYSTEM.wall_ns() // 1_000_000
        until(lambda: place.letters(dead), "the letter")
        until(lambda: b"flaky" in noted.stored)
        until(lambda: place.committed(tiers[1].topic) == {0: 2})
    assert pipeline.wait().left == 0
    assert sorted(noted.stored) == [b"flaky", b"n0", b"n1"]
    assert noted.calls == [b"hopeless"]  # handle_failed sees what has failed for good
    [letter] = place.letters(dead)
    assert letter.first_seen <= began  # not when it came from the last retry topic
    assert (letter.value, letter.topic, letter.offset, letter.headers) == (b"hopeless", topic, 2, ())
    visits = [(tier, where) for value, where, _, tier in noted.handled if value == b"hopeless"]
    assert visits == [(0, topic)] * 2 + [(1, topic)] * 2 + [(2, topic)] * 2


def test_a_record_of_a_retry_topic_is_the_original_again():
    record = Record("ticks", 3, 41, b"k", b"v", (("a", b"1"),), 7)
    message = Message(row=tuple(record), tier=1, first_seen=900)
    sent = to_retry(message, RetryTopic("r", 60), now=1000)
    there = Record("r", 0, 5, sent.key, sent.value, sent.headers, sent.timestamp)
    assert restored(there) == (record, 2, 61_000, 900)


NAMES = [f"streamzarr.retry.{name}" for name in ("due", "tier", "first_seen", "topic", "partition", "offset")]


def forged(**given):
    values = {
        "due": "0",
        "tier": "1",
        "first_seen": "0",
        "topic": "in",
        "partition": "0",
        "offset": "0",
    } | given
    headers = zip(NAMES, (value.encode() for value in values.values()), strict=True)
    return NewRecord(b"forged", headers=tuple(headers))


@pytest.mark.parametrize(
    "record",
    [
        forged(due="9" * 400),
        forged(due="\u0663"),
        forged(tier="-1"),
        forged(partition="-7"),
        forged(offset="1_0"),
        NewRecord(b"forged", headers=(("streamzarr.retry.due", b"soon"),)),
        NewRecord(b"forged", headers=tuple((name, b"\xff") for name in NAMES)),
    ],
)
def test_what_somebody_else_has_written_there_is_its_own_original(record):
    assert restored(Record("r", 0, 5, None, record.value, record.headers, 7)) is None


def test_nothing_waits_longer_than_its_topic_is_for_whatever_its_header_says(place):
    topic, later = place.topic("in"), place.topic("later")
    with place.broker.producer() as producer:
        producer.send(later, [forged(due=str((1 << 63) - 1)), forged(due="9" * 400), forged(tier="9" * 18)])
    noted = Noted()
    tiers = [RetryTopic(later, 0.2)]
    with Flaky.start(source=place.source(topic), retry_topics=tiers, on_failure="skip", context=noted):
        until(lambda: place.committed(later) == {0: 3}, "all are handled")
    assert noted.stored == [b"forged"] * 3


def test_what_waits_is_written_once_although_the_letters_have_no_topic(place):
    topic, later, dead = place.topic("in"), place.topic("later"), place.topic("dead")
    noted = Noted()
    told = []
    telemetry.attach("told", ["streamzarr.pipeline.ack.exception"], told.append)
    with Poison.start(
        source=place.source(topic), dead_letters=dead, retry_topics=[RetryTopic(later, 60)], context=noted
    ):
        until(lambda: place.broker.members(place.group), "it has found its topics")
        place.broker.delete_topic(dead)
        place.fill(topic, [b"hopeless", b"bad"])
        until(lambda: len(told) >= 3, "several tries to write the letter")
        assert sum(place.broker.describe(later).end.values()) == 1
        place.broker.create_topic(dead)
        until(lambda: place.committed(topic) == {0: 2}, "both are acknowledged")
    telemetry.detach("told")
    assert sum(place.broker.describe(later).end.values()) == 1
    assert [letter.value for letter in place.letters(dead)] == [b"bad"]
