"""Batches whose error is transient and stays: one message is to blame, or what all of them need is away."""

import pytest

from streamzarr.errors import StoreError
from streamzarr.pipeline import Batcher, Pipeline, RetryTopic
from streamzarr.pipeline.bisect import PROBES
from streamzarr.queue.retry import RetryPolicy
from tests.support.pipelines import Noted, until

COUNT = 500


class Store(Pipeline):
    """Stores batches, all or nothing, unless it is away or one has a message that always takes too long."""

    batchers = {"default": Batcher(size=COUNT, timeout=5)}
    retry = RetryPolicy(attempts=3, base=0.001)

    def handle_batch(self, batcher, messages, info, context):
        context.note(context.calls, [info.size])
        if context.away:
            raise StoreError("away")
        if any(message.value.startswith(b"slow") for message in messages):
            raise TimeoutError("took too long")
        context.note(context.stored, [message.value for message in messages])
        return messages


class Sink(Noted):
    away = False


def values(bad=None):
    return [b"slow" if n == bad else b"%d" % n for n in range(COUNT)]


@pytest.mark.parametrize("bad", [0, 333])
def test_one_message_that_always_times_out_is_a_letter_and_the_others_are_stored(place, bad):
    topic, dead = place.topic("in"), place.topic("dead")
    sink = Sink()
    place.fill(topic, values(bad))
    with Store.start(source=place.source(topic), dead_letters=dead, context=sink):
        until(lambda: place.committed(topic) == {0: COUNT}, "all are acknowledged")
    assert sorted(sink.stored) == sorted(set(values(bad)) - {b"slow"})
    [letter] = place.letters(dead)
    assert (letter.offset, letter.error_class, letter.attempts) == (bad, "TimeoutError", 3)
    assert len(sink.calls) <= 30


def test_one_message_that_always_times_out_waits_alone_in_a_retry_topic(place):
    topic, later = place.topic("in"), place.topic("later")
    sink = Sink()
    place.fill(topic, values(333))
    with Store.start(source=place.source(topic), retry_topics=[RetryTopic(later, 600)], context=sink):
        until(lambda: place.committed(topic) == {0: COUNT}, "all are acknowledged")
    assert len(sink.stored) == COUNT - 1
    assert sum(place.broker.describe(later).end.values()) == 1


def test_a_sink_that_is_away_costs_some_calls_and_no_letter(place):
    topic, dead = place.topic("in"), place.topic("dead")
    sink = Sink()
    sink.away = True
    place.fill(topic, values())
    with Store.start(source=place.source(topic), dead_letters=dead, context=sink) as pipeline:
        until(lambda: pipeline.paused_partitions, "the partition pauses")
        tries = 1 + pipeline.paused_partitions[0].tries
        batches = 3  # a try, if records come slowly
        assert len(sink.calls) <= batches * (tries + 1) * (Store.retry.attempts + PROBES)
        sink.away = False
        pipeline.resume_partitions()
        until(lambda: place.committed(topic) == {0: COUNT}, "all are acknowledged")
    assert sorted(sink.stored) == sorted(values())
    assert place.letters(dead) == []


def test_a_sink_that_is_away_costs_some_calls_where_failures_are_passed_over(place):
    topic = place.topic("in")
    sink = Sink()
    sink.away = True
    place.fill(topic, values())
    with Store.start(source=place.source(topic), on_failure="skip", context=sink) as pipeline:
        until(lambda: place.committed(topic) == {0: COUNT}, "all are acknowledged")
    assert pipeline.wait().failed == COUNT
    assert len(sink.calls) <= (Store.retry.attempts + PROBES) * 3  # if they came as several batches
