"""What users' code does wrong, and what becomes of messages then: one fails, the pipeline goes on."""

import re

import pytest

from streamzarr import flow
from streamzarr.errors import ConfigError, FailedError, HandlerError, StoreError
from streamzarr.pipeline import (
    Batcher,
    Message,
    Options,
    Pipeline,
    Processors,
    RetryTopic,
    TopicSource,
    telemetry,
)
from streamzarr.pipeline.sources import Brokers
from streamzarr.queue.retry import RetryPolicy
from streamzarr.testing import start

FAST = RetryPolicy(attempts=4, base=0.001, jitter=0.0)
BATCHERS = {"default": Batcher(size=4)}


def source_of(*items):
    return lambda demand: flow.from_iterable(items, demand)


# -- handlers --------------------------------------------------------------------------------------------


def test_transient_errors_behind_prepare_messages_end_when_all_attempts_are_used():
    calls = []

    class Away(Pipeline):
        retry = FAST

        def prepare_messages(self, messages, context):
            return messages

        def handle_message(self, message, context):
            calls.append(message.data)
            raise StoreError("away")

    with start(Away) as pipeline:
        ack = pipeline.test_message(1)
    assert (str(ack.failed.error), len(calls)) == ("away", FAST.attempts)


def test_what_handle_failed_has_saved_is_done_and_meets_no_batcher():
    batches = []

    class Saved(Pipeline):
        batchers = BATCHERS

        def handle_message(self, message, context):
            return message.with_data(1 // message.data)

        def handle_failed(self, messages, context):
            return [message.replace(failure=None, data="saved") for message in messages]

        def handle_batch(self, batcher, messages, info, context):
            batches.append([message.data for message in messages])
            return messages

    with start(Saved) as pipeline:
        acks = pipeline.test_batch([0, 1])
    assert [(ack.acked, ack.data) for ack in acks] == [(True, "saved"), (True, 1)]
    assert batches == [[1]]


def test_a_retryable_that_raises_is_as_if_it_was_not_there():
    class Odd(Pipeline):
        retry = FAST

        def handle_message(self, message, context):
            if message.data == 2:
                raise StoreError("away")
            return message.with_data(1 // message.data)

        def retryable(self, error):
            return error.code == 429

    with start(Odd) as pipeline:
        acks = pipeline.test_batch([1, 0, 2])
    assert [type(ack.failed and ack.failed.error) for ack in acks] == [
        type(None),
        ZeroDivisionError,
        StoreError,
    ]
    assert acks[2].failed.attempts == FAST.attempts  # transient by default: tried again


def test_a_key_that_cannot_be_told_from_others_fails_its_message():
    by = lambda message: [message.data] if message.data == 2 else message.data  # noqa: E731
    with start(Pipeline, processors=Processors(partition_by=by)) as pipeline:
        acks = pipeline.test_batch([1, 2, 3])
    assert [ack.acked for ack in acks] == [True, False, True]
    assert (acks[1].failed.stage, type(acks[1].failed.error)) == ("partition_by", TypeError)


def test_an_until_that_raises_when_a_batch_is_full_loses_nothing_of_that_batch():
    def until(messages):
        return 1 // (messages[-1].data - 2) == 7

    batchers = {"default": Batcher(size=3, size_by=lambda message: 2, until=until)}
    one = Processors(concurrency=1)
    with start(Pipeline, batchers=batchers, processors=one) as pipeline:
        acks = pipeline.test_batch([1, 2, 3])
    assert [ack.acked for ack in acks] == [True, False, True]
    assert acks[1].failed.stage == "batcher"


@pytest.mark.parametrize("failure", ["no", ValueError("no"), True])
def test_a_failure_that_is_none_is_told_and_the_batch_not_handled_again(failure):
    calls = []

    class Odd(Pipeline):
        batchers = BATCHERS

        def handle_batch(self, batcher, messages, info, context):
            calls.append(len(messages))
            return [message.replace(failure=failure) for message in messages]

    with start(Odd) as pipeline:
        acks = pipeline.test_batch([1, 2, 3, 4])
    assert calls == [4]
    assert {type(ack.failed.error) for ack in acks} == {HandlerError}


def test_a_stage_that_is_no_text_is_told_where_it_is_given():
    class Odd(Pipeline):
        def handle_message(self, message, context):
            return message.fail("no", stage=5)

    with start(Odd) as pipeline:
        ack = pipeline.test_message(1)
    assert str(ack.failed.error) == "Message.fail: stage is 5, expected text"


def test_a_listener_of_telemetry_that_raises_anything_harms_no_message():
    def listen(event):
        raise SystemExit(1)

    events = ["streamzarr.pipeline.ack.start", "streamzarr.pipeline.processor.message.start"]
    telemetry.attach("bad", events, listen)
    try:
        assert Pipeline.run(source=source_of(1, 2)).ok == 2
    finally:
        telemetry.detach("bad")


def test_everything_is_closed_although_close_context_raises(monkeypatch):
    closed = []
    monkeypatch.setattr(Brokers, "close", lambda self: closed.append("brokers"))

    class Open(Pipeline):
        def make_context(self):
            return "context"

        def close_context(self, context):
            closed.append(context)
            raise RuntimeError("close it yourself")

    with pytest.raises(RuntimeError, match="close it yourself"):
        Open.run(source=source_of(1))
    assert closed == ["context", "brokers"]


# -- what would fail with each message is found before the first one ---------------------------------------


def test_handlers_that_nobody_would_await_or_exhaust_or_call_are_told_at_once():
    class Async(Pipeline):
        async def handle_message(self, message, context):
            return message

    class Lazy(Pipeline):
        def handle_failed(self, messages, context):
            yield from messages

    class Uncalled(Pipeline):
        def handle_batch(self, batcher, messages, info, context):
            return messages

    for pipeline, words in (
        (Async, "Async: handle_message is .*, expected a function that is not async"),
        (Lazy, "Lazy: handle_failed has a yield, expected a function that returns"),
        (Uncalled, "Uncalled: handle_batch would never be called without batchers, expected such as"),
    ):
        with pytest.raises(ConfigError, match=words):
            pipeline.start(source=source_of(1))


TOPICS = TopicSource("sqlite:///q.db", ["in", "more"], "g")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"dead_letters": "more"}, "dead_letters: 'more' is among the topics of the source too"),
        ({"retry_topics": [RetryTopic("in", 1)]}, "retry_topics: 'in' is among the topics of the source"),
        ({"retry_topics": [RetryTopic("r", 1), RetryTopic("r", 2)]}, "'r' is among the retry_topics too"),
        (
            {"retry_topics": [RetryTopic("r", 1)], "dead_letters": "r"},
            "dead_letters: 'r' is among the retry_topics too, expected another topic",
        ),
        ({"batchers": {"processors": Batcher()}}, "batchers: 'processors' is what resize calls"),
        (
            {"context": {}, "processors": Processors(kind="processes")},
            "context cannot be given to other processes, expected make_context",
        ),
    ],
)
def test_options_that_would_go_round_in_circles_or_two_ways_are_told(options, words):
    with pytest.raises(ConfigError, match=words):
        Options(TOPICS, **options)


def test_more_sources_than_may_be_in_flight_are_told():
    with pytest.raises(ConfigError, match="max_in_flight is 2, expected at least 3"):
        Pipeline.run(source=[source_of(1)] * 3, max_in_flight=2)


# -- what errors show --------------------------------------------------------------------------------------


def test_no_password_is_shown_however_deep_it_lies():
    secret = TopicSource("kafka://me:hunter2@a-host-with-a-long-name.example.org:9092", ["in"], "g")
    assert "hunter2" not in repr(secret)
    for given in ([secret, 5], {"a": ["kafka://me:hunter2@host"]}):
        with pytest.raises(ConfigError) as told:
            Options(given)
        assert "hunt" not in str(told.value)


def test_an_error_shows_the_beginning_of_a_big_message_only():
    class Bad(Pipeline):
        def handle_message(self, message, context):
            raise ValueError("bad")

    with pytest.raises(FailedError) as told:
        Bad.run(source=source_of(b"x" * 1_000_000))
    assert len(str(told.value)) < 1000


def test_a_pipeline_with_retry_topics_can_be_tested_without_them():
    class Later(Pipeline):
        retry_topics = (RetryTopic("later", 60),)
        retry = RetryPolicy(attempts=1)

        def handle_message(self, message, context):
            raise StoreError("away")

    with start(Later) as pipeline:
        assert str(pipeline.test_message(1).failed.error) == "away"


# -- what messages are made of ---------------------------------------------------------------------------


class Odd:
    """Cannot be looked at."""

    def __bool__(self):
        raise RuntimeError("no")

    def __eq__(self, other):
        raise RuntimeError("no")

    __hash__ = object.__hash__


MISFITS = [
    ({"ack_ref": ["a"]}, r"ack_ref is \['a'\], expected something hashable"),
    ({"ack_ref": Odd()}, "ack_ref is .*Odd.*, expected something hashable"),
    ({"acknowledger": "me"}, "acknowledger is 'me', expected an Acknowledger"),
    ({"flush": Odd()}, "flush is .*, expected true or false"),
    ({"acked": Odd()}, "acked is .*, expected True or False"),
    ({"waits": None}, "waits is None, expected True or False"),
    ({"attempts": "many"}, "attempts is 'many', expected a whole number"),
]


@pytest.mark.parametrize(("changes", "reason"), MISFITS)
@pytest.mark.parametrize("handler", ["prepare_messages", "handle_message", "handle_batch"])
def test_a_message_that_does_not_fit_fails_alone(handler, changes, reason):
    def change(message):
        return message.replace(**changes) if message.data == 2 else message

    def one(self, message, context):
        return change(message)

    def several(self, *arguments):
        messages = next(each for each in arguments if not isinstance(each, str))
        return [change(message) for message in messages]

    body = {handler: one if handler == "handle_message" else several, "batchers": BATCHERS}
    with start(type("Misfit", (Pipeline,), body)) as pipeline:
        acks = pipeline.test_batch([1, 2, 3])
    assert [ack.acked for ack in acks] == [True, False, True]
    failure = acks[1].failed
    assert (type(failure.error), failure.stage) == (ConfigError, handler)
    assert re.search(f"^{handler} returned a message whose {reason}", str(failure.error))


@pytest.mark.parametrize(("changes", "reason"), MISFITS)
def test_a_message_of_a_source_that_does_not_fit_fails_alone(changes, reason):
    seen = []

    class Looking(Pipeline):
        on_failure = "skip"

        def handle_failed(self, messages, context):
            seen.extend((message.data, str(message.failure.error)) for message in messages)
            return messages

    items = [Message(data=1), Message(data=2, **changes), Message(data=3)]
    report = Looking.run(source=source_of(*items))
    assert (report.ok, report.failed) == (2, 1)
    [(data, text)] = seen
    assert data == 2
    assert re.search(f"^the source made a message whose {reason}", text)


@pytest.mark.filterwarnings("error")
def test_an_until_that_is_async_fails_its_messages_with_words():
    async def later(messages):
        return True

    class Async(Pipeline):
        batchers = {"default": Batcher(size=2, until=lambda messages: later(messages))}

    with start(Async) as pipeline:
        acks = pipeline.test_batch([1, 2])
    assert [str(ack.failed.error) for ack in acks] == [
        "until returned a coroutine, expected true or false"
    ] * 2
