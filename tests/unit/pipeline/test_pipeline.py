"""What handlers see and what becomes of their messages, by the kit that users test theirs with."""

import threading

import pytest

from streamzarr import flow
from streamzarr.errors import ConfigError, FailedError, StoreError
from streamzarr.pipeline import Batcher, Message, Pipeline, Processors
from streamzarr.pipeline.bisect import PROBES
from streamzarr.queue.retry import RetryPolicy
from streamzarr.testing import DummySource, start

FAST = RetryPolicy(attempts=4, base=0.001, jitter=0.0)


class Batched(Pipeline):
    """Notes its batches; refuses data in `bad` of its context."""

    batchers = {"default": Batcher(size=100), "other": Batcher(size=2)}
    retry = FAST

    def make_context(self):
        return {"batches": [], "bad": set()}

    def handle_batch(self, batcher, messages, info, context):
        datas = [message.data for message in messages]
        context["batches"].append((batcher, sorted(datas), info))
        if context["bad"] & set(datas):
            raise ValueError("bad")
        return messages


def context_of(bad=()):
    return {"batches": [], "bad": set(bad)}


def source_of(*items):
    return lambda demand: flow.from_iterable(items, demand)


def test_a_message_goes_to_the_batcher_that_it_names():
    class Two(Batched):
        def handle_message(self, message, context):
            return message.to_batcher("other" if message.data % 2 else "default")

    context = context_of()
    with start(Two, context=context) as pipeline:
        acks = pipeline.test_batch([1, 2, 3, 4])
    assert all(ack.acked for ack in acks)
    assert sorted((name, datas) for name, datas, _ in context["batches"]) == [
        ("default", [2, 4]),
        ("other", [1, 3]),
    ]


def test_an_unknown_batcher_fails_the_message_and_names_those_there_are():
    class Lost(Batched):
        def handle_message(self, message, context):
            return message.to_batcher("nowhere")

    with start(Lost) as pipeline:
        ack = pipeline.test_message(1)
    assert str(ack.failed.error) == (
        "handle_message chose batcher 'nowhere', expected one of 'default', 'other'"
    )


def test_an_exception_fails_its_message_alone():
    class Picky(Batched):
        def handle_message(self, message, context):
            return message.with_data(10 // message.data)

    context = context_of()
    with start(Picky, context=context) as pipeline:
        one, bad, two = pipeline.test_batch([1, 0, 2])
    assert (one.data, two.data) == (10, 5)
    assert isinstance(bad.failed.error, ZeroDivisionError)
    assert (bad.failed.stage, bad.failed.attempts) == ("handle_message", 1)
    assert [datas for _, datas, _ in context["batches"]] == [[5, 10]]


def test_a_message_that_its_handler_fails_passes_by_the_batchers():
    class Failing(Batched):
        def handle_message(self, message, context):
            return message.fail("not today")

    context = context_of()
    with start(Failing, context=context) as pipeline:
        ack = pipeline.test_message(1)
    assert (ack.failed.stage, str(ack.failed.error)) == ("handle_message", "not today")
    assert context["batches"] == []


@pytest.mark.parametrize("returned", [None, 3, Message(data=1, place=99)])
def test_what_is_not_the_message_fails_it(returned):
    handled = Pipeline.of("Odd", handle_message=lambda message, context: returned)
    with start(handled) as pipeline:
        ack = pipeline.test_message(1)
    assert "handle_message returned" in str(ack.failed.error)


def test_a_failing_batch_is_bisected_and_the_good_ones_are_done():
    context = context_of(bad=[7])
    with start(Batched, context=context) as pipeline:
        acks = pipeline.test_batch(range(32))
    assert [ack.data for ack in acks if ack.failed] == [7]
    assert acks[7].failed.stage == "handle_batch"
    sizes = [info.size for _, _, info in context["batches"]]
    assert sizes[0] == 32
    assert len(sizes) <= 1 + 2 * 5
    assert all(len(datas) == info.size for _, datas, info in context["batches"])


def test_messages_that_a_batch_handler_does_not_return_have_failed():
    class Fewer(Batched):
        def handle_batch(self, batcher, messages, info, context):
            return [message for message in messages if message.data % 2]

    with start(Fewer) as pipeline:
        acks = pipeline.test_batch([1, 2, 3])
    assert [ack.acked for ack in acks] == [True, False, True]
    assert str(acks[1].failed.error) == "handle_batch returned 2 of 3 messages, without this one"


def test_messages_that_a_batch_handler_marks_have_failed():
    class Marking(Batched):
        def handle_batch(self, batcher, messages, info, context):
            return [m.fail("odd") if m.data % 2 else m.with_data("stored") for m in messages]

    with start(Marking) as pipeline:
        one, two = pipeline.test_batch([1, 2])
    assert (one.failed.stage, str(one.failed.error), two.data) == ("handle_batch", "odd", "stored")


@pytest.mark.parametrize(
    "returned",
    [lambda ms: None, lambda ms: 3, lambda ms: [*ms, *ms], lambda ms: [Message(place=77)], lambda ms: [1]],
)
def test_what_are_not_its_messages_fails_the_batch_and_is_not_called_again(returned):
    calls = []

    class Odd(Batched):
        def handle_batch(self, batcher, messages, info, context):
            calls.append(len(messages))
            return returned(messages)

    with start(Odd) as pipeline:
        acks = pipeline.test_batch([1, 2, 3])
    assert all("handle_batch returned" in str(ack.failed.error) for ack in acks)
    assert sum(calls) == 3


def test_a_transient_error_of_a_message_is_tried_again():
    tries = {}

    class Flaky(Batched):
        def handle_message(self, message, context):
            tries[message.data] = tries.get(message.data, 0) + 1
            if message.data == 2 and tries[2] < 3:
                raise StoreError("away")
            return message

    with start(Flaky) as pipeline:
        acks = pipeline.test_batch([1, 2, 3])
    assert all(ack.acked for ack in acks)
    assert tries == {1: 1, 2: 3, 3: 1}


def test_a_transient_error_that_stays_fails_the_message_with_its_attempts():
    class Away(Batched):
        def handle_message(self, message, context):
            raise StoreError("away")

    with start(Away) as pipeline:
        ack = pipeline.test_message(1)
    assert ack.failed.attempts == FAST.attempts


def test_a_transient_error_of_a_batch_has_the_whole_batch_tried_again():
    calls = []

    class Flaky(Batched):
        def handle_batch(self, batcher, messages, info, context):
            calls.append(info.size)
            if len(calls) < 3:
                raise ConnectionError("away")
            return messages

    with start(Flaky) as pipeline:
        acks = pipeline.test_batch(range(10))
    assert all(ack.acked for ack in acks)
    assert calls == [10, 10, 10]


def test_a_batch_is_not_searched_for_whom_to_blame_while_what_it_needs_is_away():
    calls = []

    class Away(Batched):
        def handle_batch(self, batcher, messages, info, context):
            calls.append(info.size)
            raise ConnectionError("away")

    with start(Away) as pipeline:
        acks = pipeline.test_batch(range(10))
    assert calls == [10] * FAST.attempts + [1] * PROBES
    assert all(ack.failed.attempts == FAST.attempts for ack in acks)


def test_retryable_is_the_users_word():
    calls = []

    class Own(Batched):
        def retryable(self, error):
            return isinstance(error, KeyError)

        def handle_message(self, message, context):
            calls.append(message.data)
            raise KeyError if len(calls) == 1 else StoreError("no transient one, here")

    with start(Own) as pipeline:
        ack = pipeline.test_message(1)
    assert isinstance(ack.failed.error, StoreError)
    assert len(calls) == 2


def test_prepare_messages_sees_them_together_and_before_the_handler():
    class Preloading(Pipeline):
        def prepare_messages(self, messages, context):
            context.append(len(messages))
            return [message.with_data(("row", message.data)) for message in messages]

        def handle_message(self, message, context):
            return message.with_data(message.data[1] * 2)

    sizes = []
    with start(Preloading, context=sizes, processors=Processors(concurrency=1)) as pipeline:
        acks = pipeline.test_batch(range(50))
    assert [ack.data for ack in acks] == [2 * n for n in range(50)]
    assert sum(sizes) == 50
    assert max(sizes) > 1


def test_a_message_that_cannot_be_prepared_is_found_and_the_others_go_on():
    class Preloading(Pipeline):
        def prepare_messages(self, messages, context):
            return [message.with_data(10 // message.data) for message in messages]

    with start(Preloading, processors=Processors(concurrency=1)) as pipeline:
        acks = pipeline.test_batch([1, 2, 0, 5])
    assert [ack.data for ack in acks if ack.acked] == [10, 5, 2]
    assert acks[2].failed.stage == "prepare_messages"


def test_a_message_that_is_tried_again_is_prepared_again_from_what_it_was():
    tries = []

    class Preloading(Pipeline):
        retry = FAST

        def prepare_messages(self, messages, context):
            return [message.with_data(message.data + 1) for message in messages]

        def handle_message(self, message, context):
            tries.append(message.data)
            if len(tries) < 3:
                raise StoreError("away")
            return message

    with start(Preloading) as pipeline:
        assert pipeline.test_message(1).data == 2
    assert tries == [2, 2, 2]


def test_handle_failed_sees_failures_before_they_are_acknowledged():
    class Telling(Batched):
        def handle_failed(self, messages, context):
            context["failed"] = context.get("failed", []) + [(m.data, m.failure.stage) for m in messages]
            return [message.with_data("told") for message in messages]

        def handle_message(self, message, context):
            return message.with_data(6 // message.data)

    context = context_of(bad=[3])
    with start(Telling, context=context) as pipeline:
        acks = pipeline.test_batch([1, 2, 0])
    assert [ack.data for ack in acks] == [6, "told", "told"]
    assert sorted(context["failed"]) == [(0, "handle_message"), (3, "handle_batch")]


def test_handle_failed_may_say_that_it_is_done():
    class Rescuing(Batched):
        def handle_failed(self, messages, context):
            return [message.replace(failure=None, data="rescued") for message in messages]

    with start(Rescuing, context=context_of(bad=[3])) as pipeline:
        one, rescued = pipeline.test_batch([1, 3])
    assert (one.acked, rescued.acked, rescued.data) == (True, True, "rescued")


def test_an_exception_in_handle_failed_holds_its_messages_until_it_goes_well():
    calls = []
    released = threading.Event()

    class Holding(Batched):
        def handle_failed(self, messages, context):
            calls.append(sorted(message.data for message in messages))
            if not released.is_set():
                raise ValueError("nobody to tell")
            return messages

    with start(Holding, context=context_of(bad=[3])) as pipeline:
        with pytest.raises(TimeoutError, match="1 of 2 messages are not acknowledged"):
            pipeline.test_batch([1, 3], timeout=0.5)
        released.set()
        assert pipeline.test_message(5).acked
        pipeline.running.barrier(20)
    assert len(calls) > 1
    assert calls[0] == calls[-1] == [3]


def test_what_handle_failed_raised_on_is_handed_back_when_the_pipeline_stops():
    class Holding(Pipeline):
        def handle_message(self, message, context):
            raise ValueError

        def handle_failed(self, messages, context):
            called.set()
            raise ValueError("nobody to tell")

    called = threading.Event()
    source = DummySource()
    pipeline = Holding.start(source=source, on_failure="skip")
    source.push([1])
    assert called.wait(20)
    report = pipeline.stop(drain=20)
    assert (report.delivered, report.failed, report.handed_back) == (1, 0, 1)


def test_without_letters_a_failure_ends_the_pipeline_with_nothing_acknowledged():
    class Failing(Pipeline):
        def handle_message(self, message, context):
            raise ValueError("no price")

    with pytest.raises(
        FailedError, match=r"Message\(data=1\) failed in handle_message: ValueError: no price"
    ):
        Failing.run(source=source_of(1))


def test_failures_may_be_passed_over():
    class Failing(Pipeline):
        on_failure = "skip"

        def handle_message(self, message, context):
            raise ValueError("no price")

    report = Failing.run(source=source_of(1, 2))
    assert (report.ok, report.failed) == (0, 2)


def test_a_message_may_say_what_becomes_of_it_when_it_fails():
    class Failing(Pipeline):
        def handle_message(self, message, context):
            return message.configure_ack(on_failure="skip").fail("not wanted")

    assert Failing.run(source=source_of(1)).failed == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"on_failure": "bury"}, "on_failure is 'bury', expected"),
        ({"on_failure": "dead"}, "the pipeline has no dead_letters"),
        ({"on_win": "skip"}, "'on_win' is no option, expected on_failure"),
    ],
)
def test_an_acknowledger_says_what_it_does_not_know(options, words):
    class Failing(Pipeline):
        def handle_message(self, message, context):
            return message.configure_ack(**options)

    with pytest.raises(FailedError, match=words):
        Failing.run(source=source_of(1))


def test_a_message_acknowledged_at_once_is_acknowledged_while_its_handler_goes_on():
    going_on = threading.Event()

    class Early(Pipeline):
        batchers = {"default": Batcher(size=1)}

        def handle_message(self, message, context):
            message = message.ack_immediately()
            assert going_on.wait(20)
            return message.ack_immediately()

        def handle_batch(self, batcher, messages, info, context):
            context.extend(messages)
            return messages

    stored = []
    with start(Early, context=stored) as pipeline:
        assert pipeline.test_message(1).acked
        assert stored == []
        going_on.set()
        pipeline.running.barrier(20)
    assert [message.data for message in stored] == [1]
    assert pipeline.running.wait().ok == 1


def test_what_fails_after_it_was_acknowledged_is_only_told():
    class Early(Pipeline):
        def handle_message(self, message, context):
            message.ack_immediately()
            raise ValueError("too late")

        def handle_failed(self, messages, context):
            context.extend(messages)
            return messages

    failed = []
    report = Early.run(source=source_of(1, 2), context=failed)
    assert (report.ok, report.failed, len(failed)) == (2, 0, 2)


def test_the_instance_and_the_context_serve_all_handlers_and_the_context_is_closed():
    class Counting(Pipeline):
        def make_context(self):
            return []

        def close_context(self, context):
            closed.append(list(context))

        def handle_message(self, message, context):
            context.append(message.data)
            return message

    closed = []
    Counting.run(source=source_of(1, 2))
    assert [sorted(each) for each in closed] == [[1, 2]]


def test_plain_functions_are_a_pipeline():
    stored = []

    def store(batcher, messages, info, context):
        stored.append([message.data for message in messages])
        return messages

    Plain = Pipeline.of("Plain", handle_batch=store)
    assert Plain.run(source=source_of(1, 2, 3), batchers={"default": Batcher(size=3)}).ok == 3
    assert [sorted(each) for each in stored] == [[1, 2, 3]]


@pytest.mark.parametrize(
    ("handlers", "words"),
    [
        ({"handle": len}, "no handler 'handle'"),
        ({"handle_batch": 3}, "handle_batch is 3, expected a function"),
    ],
)
def test_of_says_what_it_cannot_take(handlers, words):
    with pytest.raises(ConfigError, match=words):
        Pipeline.of("Odd", **handlers)
