"""Deaths of processes that handle messages: who is to blame is found, wherever it stands among the others."""

from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamzarr.errors import ProcessDiedError, ProcessError, TransformError
from streamzarr.pipeline import Message
from streamzarr.pipeline.batches import BatchInfo
from streamzarr.pipeline.child import work
from streamzarr.pipeline.elsewhere import DEATHS, Elsewhere, import_path
from streamzarr.pipeline.handlers import Rules
from streamzarr.queue.retry import RetryPolicy
from tests.support.heavy_pipelines import Heavy

COUNT = 16
RULES = Rules(("default",), ordered=False, retry=RetryPolicy())


class Process:
    """Dies of some messages, each time or the first few times; does the work of the others here."""

    def __init__(self, deadly, times=None):
        self.deadly, self.times = deadly, times
        self.deaths, self.done = Counter(), []

    def __call__(self, order):
        for message in order.messages:
            if message.place in self.deadly and (
                self.times is None or self.deaths[message.place] < self.times
            ):
                self.deaths[message.place] += 1
                raise ProcessDiedError("exited with 9")
        answer = work(order)
        self.done += [message.place for message in answer[0]]
        return answer


def messages():
    return [Message(data=n, place=n) for n in range(COUNT)]


@given(st.sets(st.integers(0, COUNT - 1), max_size=3), st.booleans(), st.booleans())
def test_one_call_finds_all_that_kill_their_process_wherever_they_stand(deadly, batched, ordered):
    process, elsewhere = Process(deadly), Elsewhere(import_path(Heavy), replace(RULES, ordered=ordered))
    if batched:
        info = BatchInfo(None, COUNT, 0, "size")
        found = elsewhere.batch(process, "default", messages(), info, list)
    else:
        found = elsewhere.process(process, messages(), list)
    assert {each.place for each in found.decided if each.failure} == deadly
    assert {each.failure.attempts for each in found.decided if each.failure} <= {DEATHS}
    assert sorted(each.place for each in found.decided) == list(range(COUNT))
    assert process.done == [n for n in range(COUNT) if n not in deadly]
    assert not found.again
    assert process.deaths.total() <= len(deadly) * (COUNT.bit_length() - 1 + DEATHS)


def test_a_message_that_was_alone_at_one_death_is_not_to_blame_if_it_then_succeeds():
    process = Process({5}, times=COUNT.bit_length())  # down to where it stands alone, and once there
    found = Elsewhere(import_path(Heavy), RULES).process(process, messages(), list)
    assert [each.failure for each in found.decided] == [None] * COUNT
    assert {each.attempts for each in found.decided} == {0}


def test_what_others_have_by_now_is_not_tried_once_more():
    process = Process({0})
    gone = lambda each: [m for m in each if m.place not in process.deaths]  # noqa: E731
    found = Elsewhere(import_path(Heavy), RULES).process(process, messages(), gone)
    assert process.deaths == {0: 1}
    assert [each.place for each in found.decided] == list(range(1, COUNT))


@pytest.mark.parametrize("error", [ProcessError("none can be started"), OSError("disk"), MemoryError()])
def test_errors_of_the_machine_are_raised(error):
    def broken(order):
        raise error

    with pytest.raises(type(error)):
        Elsewhere(import_path(Heavy), RULES).process(broken, messages(), list)


@pytest.mark.parametrize(
    "error", [TransformError("cannot be sent"), TypeError("cannot pickle"), SystemExit(3)]
)
def test_what_cannot_travel_is_found_and_the_others_are_done(error):
    def call(order):
        if any(message.place == 5 for message in order.messages):
            raise error
        return work(order)

    found = Elsewhere(import_path(Heavy), RULES).process(call, messages(), list)
    assert [each.place for each in found.decided if each.failure] == [5]
    assert sorted(each.place for each in found.decided) == list(range(COUNT))


def test_what_has_failed_before_stays_here():
    sent = []

    def call(order):
        sent.extend(message.place for message in order.messages)
        return work(order)

    given = [each.fail("bad") if each.place == 3 else each for each in messages()]
    found = Elsewhere(import_path(Heavy), RULES).process(call, given, list)
    assert sent == [n for n in range(COUNT) if n != 3]
    assert [each.place for each in found.decided if each.failure] == [3]
