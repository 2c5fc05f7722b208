"""Retry topics: what does not work now waits elsewhere, and its partition goes on."""

from streamzarr.errors import StoreError
from streamzarr.pipeline import Pipeline
from streamzarr.pipeline.retries import RetryTopic, restored, to_retry
from streamzarr.queue.base import Record
from streamzarr.queue.retry import RetryPolicy
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


def test_what_may_work_later_waits_in_retry_topics_and_then_is_a_letter(place):
    topic, dead = place.topic("in"), place.topic("dead")
    tiers = [RetryTopic(place.topic("retry-1"), 0.2), RetryTopic(place.topic("retry-2"), 0.3)]
    noted = Noted()
    place.fill(topic, [b"n0", b"flaky", b"hopeless", b"n1"])
    with Flaky.start(
        source=place.source(topic), dead_letters=dead, retry_topics=tiers, context=noted
    ) as pipeline:
        until(lambda: place.committed(topic) == {0: 4}, "the partition goes on")
        until(lambda: place.letters(dead), "the letter")
        until(lambda: b"flaky" in noted.stored)
        until(lambda: place.committed(tiers[1].topic) == {0: 2})
    assert pipeline.wait().left == 0
    assert sorted(noted.stored) == [b"flaky", b"n0", b"n1"]
    assert noted.calls == [b"hopeless"]  # handle_failed sees what has failed for good
    [letter] = place.letters(dead)
    assert (letter.value, letter.topic, letter.offset, letter.headers) == (b"hopeless", topic, 2, ())
    visits = [(tier, where) for value, where, _, tier in noted.handled if value == b"hopeless"]
    assert visits == [(0, topic)] * 2 + [(1, topic)] * 2 + [(2, topic)] * 2


def test_a_record_of_a_retry_topic_is_the_original_again():
    from streamzarr.pipeline import Message

    record = Record("ticks", 3, 41, b"k", b"v", (("a", b"1"),), 7)
    sent = to_retry(Message(row=tuple(record), tier=1), RetryTopic("r", 60), now=1000)
    there = Record("r", 0, 5, sent.key, sent.value, sent.headers, sent.timestamp)
    assert restored(there) == (record, 2, 61_000)


def test_what_somebody_else_has_written_there_is_its_own_original():
    foreign = Record("r", 0, 5, None, b"v", (("streamzarr.retry.due", b"soon"),), 7)
    assert restored(foreign) == (foreign, 0, 0)
    names = [f"streamzarr.retry.{name}" for name in ("due", "tier", "topic", "partition", "offset")]
    broken = foreign._replace(headers=tuple((name, b"\xff") for name in names))
    assert restored(broken) == (broken, 0, 0)
