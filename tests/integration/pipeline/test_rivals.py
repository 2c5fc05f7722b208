"""Where others lose or repeat records, each on both brokers."""

import threading

from streamzarr.pipeline import Batcher, Pipeline
from streamzarr.queue.retry import RetryPolicy
from tests.support.pipelines import PATIENCE, Noted, until


class Storing(Pipeline):
    """Stores what is no poison, in batches."""

    batchers = {"default": Batcher(size=100, timeout=0.05)}
    retry = RetryPolicy(attempts=3, base=0.01)

    def handle_message(self, message, context):
        if message.value.startswith(b"poison"):
            raise ValueError("poison")
        context.note(context.handled, [message.value])
        return message

    def handle_batch(self, batcher, messages, info, context):
        with context.lock:
            context.calls.append(info.size)
        if any(message.value.startswith(b"bad") for message in messages):
            raise ValueError("bad record")
        context.note(context.stored, [message.value for message in messages])
        return messages


def values(count, prefix=b"n"):
    return [prefix + b"%d" % n for n in range(count)]


def test_ten_poison_messages_are_ten_letters_and_nothing_is_passed_over(place):
    topic, dead, noted = place.topic("in"), place.topic("dead"), Noted()
    good, poison = values(20), values(10, b"poison")
    place.fill(topic, [*good[:10], *poison, *good[10:]])
    with Storing.start(source=place.source(topic), dead_letters=dead, context=noted):
        until(lambda: place.committed(topic) == {0: 30})
    assert sorted(noted.stored) == sorted(good)
    letters = place.letters(dead)
    assert sorted(letter.value for letter in letters) == sorted(poison)
    assert {(letter.stage, letter.error_class, letter.topic) for letter in letters} == {
        ("handle_message", "ValueError", topic)
    }


def test_one_bad_record_in_a_batch_of_500_is_found_in_20_calls(place):
    topic, dead, noted = place.topic("in"), place.topic("dead"), Noted()
    records = values(500)
    records[333] = b"bad"
    place.fill(topic, records)
    batchers = {"default": Batcher(size=500, timeout=30.0)}
    with Storing.start(
        source=place.source(topic), dead_letters=dead, context=noted, batchers=batchers, max_in_flight=2000
    ):
        until(lambda: place.committed(topic) == {0: 500})
    assert noted.calls[0] == 500
    assert len(noted.calls) <= 20
    assert sorted(noted.stored) == sorted(set(records) - {b"bad"})
    [letter] = place.letters(dead)
    assert (letter.value, letter.offset, letter.stage) == (b"bad", 333, "handle_batch")


def test_what_is_acknowledged_is_never_delivered_again_after_a_clean_restart(place):
    topic, noted = place.topic("in", partitions=2), Noted()
    for partition in range(2):
        place.fill(topic, values(500, b"p%d-" % partition), partition)
    source = place.source(topic)
    with Storing.start(source=source, context=noted):
        until(lambda: len(noted.stored) > 100)
    handed_over = len(noted.stored)
    with Storing.start(source=source, context=noted):
        until(lambda: place.committed(topic) == {0: 500, 1: 500})
    assert handed_over > 100
    assert len(noted.stored) == len(set(noted.stored)) == 1000


def test_an_exception_in_handle_failed_holds_the_commit_and_the_record_comes_again(place):
    topic, dead, noted = place.topic("in"), place.topic("dead"), Noted()
    raised = threading.Event()

    class Holding(Storing):
        def handle_failed(self, messages, context):
            raised.set()
            raise RuntimeError("nobody to tell")

    place.fill(topic, [b"n0", b"poison", b"n1", b"n2"])
    with Holding.start(source=place.source(topic), dead_letters=dead, context=noted, drain=20.0) as pipeline:
        assert raised.wait(PATIENCE)
        until(lambda: len(noted.stored) == 3)
    assert pipeline.wait().handed_back == 1
    assert place.committed(topic) == {0: 1}
    assert place.letters(dead) == []
    with Storing.start(source=place.source(topic), dead_letters=dead, context=noted):
        until(lambda: place.committed(topic) == {0: 4})
    assert [letter.value for letter in place.letters(dead)] == [b"poison"]


def test_letters_wait_for_their_topic_and_others_are_stored_meanwhile(place):
    topic, dead, noted = place.topic("in"), place.topic("dead"), Noted()
    place.fill(topic, [b"n0"])
    with Storing.start(source=place.source(topic), dead_letters=dead, context=noted):
        until(lambda: noted.stored == [b"n0"])
        place.broker.delete_topic(dead)
        place.fill(topic, [b"poison", b"n1"])
        until(lambda: b"n1" in noted.stored)
        assert place.committed(topic).get(0, 0) <= 1
        place.broker.create_topic(dead)
        until(lambda: place.committed(topic) == {0: 3})
    assert [letter.value for letter in place.letters(dead)] == [b"poison"]


def test_a_slow_sink_holds_up_a_rebalance_no_longer_than_the_deadline(place):
    topic, noted = place.topic("in", partitions=2), Noted()
    for partition in range(2):
        place.fill(topic, values(5), partition)
    begun, release = threading.Event(), threading.Event()

    class Slow(Pipeline):
        def handle_message(self, message, context):
            begun.set()
            release.wait(2 * PATIENCE)  # longer than the other member is waited for
            return message

    source = place.source(topic, session_timeout=10.0, drain_timeout=1.0)
    slow = Slow.start(source=source)
    try:
        assert begun.wait(PATIENCE)
        with Storing.start(source=source, context=noted):
            until(lambda: len(noted.stored) >= 5, "the other member has a partition")
    finally:
        release.set()
        slow.stop(drain=20.0)
